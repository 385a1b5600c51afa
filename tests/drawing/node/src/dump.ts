// What was drawn, as text: what stands where, how large, how legible, and the series behind it.
import {
  colorManipulator,
  type DataFrame,
  type Field,
  FieldType,
  formattedValueToString,
  getFieldDisplayName,
  getFieldSeriesColor,
} from '@grafana/data';
import { box, type Drawn } from './load';
import { theme } from './situation';

type Colour = [red: number, green: number, blue: number, alpha: number];

const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true })!;

/** Any colour of CSS as numbers. */
function parsed(css: string): Colour {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = css;
  canvas.fillRect(0, 0, 1, 1);
  const [red, green, blue, alpha] = canvas.getImageData(0, 0, 1, 1).data;
  return [red, green, blue, alpha / 255];
}

const over = (top: Colour, ground: Colour): Colour => {
  const mixed = [0, 1, 2].map((i) => top[i] * top[3] + ground[i] * (1 - top[3]));
  return [mixed[0], mixed[1], mixed[2], 1];
};

const hex = (colour: Colour) =>
  '#' +
  colour
    .slice(0, 3)
    .map((part) => Math.round(part).toString(16).padStart(2, '0'))
    .join('');

const contrast = (one: string, other: string) => Number(colorManipulator.getContrastRatio(one, other).toFixed(2));

/** An element and what it lies in, from the inside out. */
function* outwards(element: Element): Generator<Element> {
  for (let at: Element | null = element; at; at = at.parentElement) yield at;
}

/** The colour that lies behind an element. */
function ground(element: Element): Colour {
  const layers: Colour[] = [];
  for (const at of outwards(element)) {
    const style = getComputedStyle(at);
    // Of a gradient its first colour: Grafana's differ by a few shades.
    const gradient = style.backgroundImage.match(/(rgba?\([^)]*\)|#\w+)/);
    const colour = parsed(gradient ? gradient[0] : style.backgroundColor);
    layers.unshift(colour);
    if (colour[3] === 1) break;
  }
  return layers.reduce((below, layer) => over(layer, below), parsed(theme.colors.background.canvas));
}

/** The colour that an element's text is seen in. */
function ink(element: Element, behind: Colour): Colour {
  const style = getComputedStyle(element);
  const colour = parsed(element instanceof SVGElement ? style.fill : style.color);
  for (const at of outwards(element)) colour[3] *= Number(getComputedStyle(at).opacity);
  return over(colour, behind);
}

const EPSILON = 1.5;

/** Whether a text reaches out of what it lies in and what hides what does not fit. */
function isCut(text: DOMRect, element: Element, within: Element): boolean {
  for (const at of outwards(element)) {
    if (at === within) return false;
    const style = getComputedStyle(at);
    const edge = at.getBoundingClientRect();
    const sticksOut = text.right > edge.right + EPSILON || text.left < edge.left - EPSILON;
    if (style.overflowX !== 'visible' && sticksOut) return true;
  }
  return false;
}

const roleOf = (element: Element) =>
  element.closest('[role=columnheader]') ? 'header' : element.closest('[role=gridcell]') ? 'cell' : 'text';

function texts(panel: Element) {
  const found = [];
  const walker = document.createTreeWalker(panel, NodeFilter.SHOW_TEXT);
  const span = document.createRange();
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement!;
    const text = node.textContent!.trim();
    if (!text || element.closest('style, script')) continue;
    span.selectNodeContents(node);
    const place = span.getBoundingClientRect();
    if (place.width < 1 || getComputedStyle(element).visibility === 'hidden') continue;
    const behind = ground(element);
    const colour = ink(element, behind);
    found.push({
      text,
      role: roleOf(element),
      size: parseFloat(getComputedStyle(element).fontSize),
      colour: hex(colour),
      ground: hex(behind),
      contrast: contrast(hex(colour), hex(behind)),
      cut: isCut(place, element, panel),
    });
  }
  return found;
}

/** The rows of a table that are wholly in sight, from the top of the page to `bottom`. */
function rows(panel: Element, bottom: number) {
  const grid = panel.querySelector('[role=grid]');
  if (!grid) return [];
  const frame = grid.getBoundingClientRect();
  const end = Math.min(frame.bottom + EPSILON, bottom);
  return [...grid.querySelectorAll('[role=row]')]
    .map((row) => [...row.querySelectorAll('[role=gridcell]')])
    .filter(([first]) => first && first.getBoundingClientRect().bottom <= end)
    .map((cells) => cells.map((cell) => cell.textContent!.trim()));
}

/** The lines of a chart: names, colours, contrast to the panel, and how many points each has. */
function series({ panel, frames }: Drawn) {
  if (panel.type !== 'timeseries') return [];
  const behind = theme.colors.background.primary;
  return frames.flatMap((frame) =>
    frame.fields
      .filter((field) => field.type === FieldType.number)
      .map((field) => {
        const colour = hex(over(parsed(getFieldSeriesColor(field, theme).color), parsed(behind)));
        const name = getFieldDisplayName(field, frame, frames);
        return { name, colour, contrast: contrast(colour, behind), points: frame.length };
      }),
  );
}

/** The titles that the panel gives to columns, but for those that it hides. */
function titles({ panel, frames }: Drawn): string[] {
  const options = panel.transformations?.find(({ id }) => id === 'organize')?.options;
  if (panel.type !== 'table' || !options) return [];
  const renamed = Object.entries<string>(options.renameByName ?? {});
  const shown = renamed.filter(([source]) => !options.excludeByName?.[source]);
  const fields = frames.flatMap((frame) => frame.fields);
  const hidden = fields.filter(({ config }) => config.custom?.hideFrom?.viz).map(({ state }) => state?.displayName);
  return shown.map(([, title]) => title).filter((title) => title && !hidden.includes(title));
}

const MOST = 40;
const text = (field: Field, value: unknown) =>
  field.display ? formattedValueToString(field.display(value)) : String(value);

function values(frames: DataFrame[]) {
  return frames.slice(0, MOST).map((frame) => ({
    refId: frame.refId,
    rows: frame.length,
    fields: frame.fields.map((field) => ({
      name: getFieldDisplayName(field, frame, frames),
      type: field.type,
      link: frame.length ? field.getLinks?.({ valueRowIndex: 0 })[0]?.href : undefined,
      values: field.values.slice(-MOST).map((value) => text(field, value)),
    })),
  }));
}

const FIRST_SCREEN = 1080;

export function dump(drawn: Drawn) {
  const { panel, frames, error } = drawn;
  const element = document.getElementById(`panel-${panel.id}`)!;
  const content = element.querySelector('[data-testid="data-testid panel content"]') ?? element;
  return {
    title: panel.title,
    type: panel.type,
    error,
    place: box(panel.gridPos),
    empty: !frames.some((frame) => frame.length > 0),
    titles: titles(drawn),
    texts: texts(content),
    rows: rows(element, FIRST_SCREEN),
    series: series(drawn),
    frames: values(frames),
  };
}
