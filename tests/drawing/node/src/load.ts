// From a panel's queries to frames that are ready to be drawn.
import {
  applyFieldOverrides,
  cacheFieldDisplayNames,
  type DataFrame,
  dateTime,
  getFieldDisplayValuesProxy,
  rangeUtil,
  type TimeRange,
  transformDataFrame,
} from '@grafana/data';
import { lastValueFrom } from 'rxjs';
import type { Panel } from './panel';
import { PANELS } from './panels';
import { ask, interpolate, type Scope } from './query';
import { registryFor } from './registry';
import { range, theme, width, zone } from './situation';

const CELL = 30;
const GAP = 8;
/** Of the page around the grid. */
export const MARGIN = 16;

export type Drawn = { panel: Panel; frames: DataFrame[]; error?: string };

/** The place of a panel on the page, in px, as Grafana's grid of 24 columns has it. */
export function box({ x, y, w, h }: Panel['gridPos']) {
  const column = (width - 2 * MARGIN - 23 * GAP) / 24;
  return {
    left: x * (column + GAP),
    top: y * (CELL + GAP),
    width: w * column + (w - 1) * GAP,
    height: h * CELL + (h - 1) * GAP,
  };
}

const FIELD = /\$\{__data\.fields\.(\w+)(?::percentencode)?\}/g;

/** Variables of data links; `__data.fields` by the real proxy. */
function linkText(text: string, scope: Scope, scoped?: any): string {
  const context = scoped?.__dataContext?.value;
  const field = (whole: string, name: string) =>
    context ? encodeURIComponent(String(getFieldDisplayValuesProxy(context)[name])) : whole;
  const pairs = (_: string, name: string) =>
    (scope[name] ?? []).map((value) => `var-${name}=${encodeURIComponent(value)}`).join('&');
  return text
    .replace(FIELD, field)
    .replace(/\$\{(\w+):queryparam\}/g, pairs)
    .replace(/\$\{__url_time_range\}/g, `from=${range.raw.from}&to=now`);
}

/** As the table of Grafana 12 and later reads what earlier ones wrote. */
function migrated(config: Panel['fieldConfig']): Panel['fieldConfig'] {
  const property = ({ id, value }: { id: string; value?: unknown }) =>
    id === 'custom.hidden' ? { id: 'custom.hideFrom', value: { viz: value } } : { id, value };
  const overrides = config.overrides.map((one) => ({ ...one, properties: one.properties.map(property) }));
  return { ...config, overrides };
}

/** The span of time of a panel: its own, where it has one. */
export function spanOf(panel: Panel): TimeRange {
  if (!panel.timeFrom) return range;
  const from = dateTime(range.to.valueOf() - rangeUtil.intervalToMs(panel.timeFrom));
  return { from, to: range.to, raw: { from: `now-${panel.timeFrom}`, to: 'now' } };
}

export async function load(panel: Panel, scope: Scope): Promise<Drawn> {
  try {
    if (!(panel.type in PANELS)) throw new Error(`no picture of ${panel.type}`);
    const points = Math.min(panel.maxDataPoints ?? Infinity, Math.floor(box(panel.gridPos).width));
    const asked = (panel.targets ?? []).map((target) => ask(target, spanOf(panel), points, scope));
    const answers = (await Promise.all(asked)).flat();
    const steps = panel.transformations ?? [];
    const context = { interpolate: (text: string) => interpolate(text, scope) };
    const data = steps.length ? await lastValueFrom(transformDataFrame(steps, answers, context)) : answers;
    const frames = applyFieldOverrides({
      data,
      fieldConfig: migrated(panel.fieldConfig),
      replaceVariables: (text, scoped) => linkText(text, scope, scoped),
      theme,
      timeZone: zone,
      fieldConfigRegistry: registryFor(panel.type),
    });
    cacheFieldDisplayNames(frames); // panels read the names from there
    return { panel, frames };
  } catch (error) {
    return { panel, frames: [], error: String(error) };
  }
}
