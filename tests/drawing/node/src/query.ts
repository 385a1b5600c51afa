// Prometheus' answers as the data frames that Grafana's data source makes of them (from its documented behaviour).
import { type DataFrame, FieldType, type Labels, rangeUtil, type TimeRange } from '@grafana/data';
import { prometheus } from './situation';

export type Target = {
  refId: string;
  expr: string;
  legendFormat?: string;
  interval?: string;
  format?: string;
  instant?: boolean;
  range?: boolean;
};
type Sample = [number, string];
type Answer = { metric: Labels; value?: Sample; values?: Sample[] };
export type Scope = Record<string, string[]>;

/** What stands for all values of a variable, by its name. */
export const ALL: Record<string, string> = {};
export const SCRAPE = '15s';
const escapeRegex = (v: string) => v.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&').replace(/\\/g, '\\\\');

export function interpolate(text: string, scope: Scope): string {
  return text.replace(/\$(\w+)|\$\{(\w+)(?::\w+)?\}/g, (whole, a, b) => {
    const values = scope[a ?? b];
    if (!values) return whole;
    if (values[0] === '$__all') return ALL[a ?? b] ?? '.+';
    return values.length === 1 ? escapeRegex(values[0]) : `(${values.map(escapeRegex).join('|')})`;
  });
}

const seconds = (text: string) => rangeUtil.intervalToMs(text) / 1000;

/** `$__interval`, the step and `$__rate_interval`, as Grafana works them out, in seconds. */
export function steps(range: TimeRange, points: number, minStep?: string) {
  const low = minStep || SCRAPE;
  const interval = rangeUtil.calculateInterval(range, points, low).intervalMs / 1000;
  const step = Math.max(interval, Math.ceil((range.to.unix() - range.from.unix()) / 11000));
  return { step, rate: Math.max(step + seconds(low), 4 * seconds(low)) };
}

const legend = (format: string, metric: Labels) =>
  format.replace(/\{\{\s*(.+?)\s*\}\}/g, (_, label) => metric[label] ?? '');

function number(text: string): number {
  return text === '+Inf' ? Infinity : text === '-Inf' ? -Infinity : parseFloat(text);
}

export async function ask(target: Target, range: TimeRange, points: number, scope: Scope): Promise<DataFrame[]> {
  const { step, rate } = steps(range, points, target.interval);
  const expr = interpolate(target.expr, scope)
    .replace(/\$__rate_interval|\$\{__rate_interval\}/g, `${Math.round(rate * 1000)}ms`)
    .replace(/\$__interval|\$\{__interval\}/g, `${Math.round(step * 1000)}ms`);
  const [from, to] = [range.from.unix(), range.to.unix()];
  const query: Record<string, string> = target.instant
    ? { query: expr, time: String(to) }
    : {
        query: expr,
        start: String(Math.floor(from / step) * step),
        end: String(Math.floor(to / step) * step),
        step: String(step),
      };
  const response = await fetch(
    `${prometheus}/api/v1/${target.instant ? 'query' : 'query_range'}?` + new URLSearchParams(query),
  );
  const body = await response.json();
  if (body.status !== 'success') throw new Error(`${target.refId}: ${body.error}`);
  const answers: Answer[] =
    body.data.resultType === 'scalar' ? [{ metric: {}, value: body.data.result }] : body.data.result;
  const samples = (a: Answer) => a.values ?? [a.value!];
  if (target.format === 'table') return [table(target.refId, answers, samples)];
  return answers.map((answer) => {
    const name =
      target.legendFormat && target.legendFormat !== '__auto' ? legend(target.legendFormat, answer.metric) : undefined;
    const values = samples(answer);
    return {
      refId: target.refId,
      name: name || expr,
      length: values.length,
      fields: [
        {
          name: 'Time',
          type: FieldType.time,
          config: { interval: step * 1000 },
          values: values.map(([t]) => t * 1000),
        },
        {
          name: 'Value',
          type: FieldType.number,
          labels: answer.metric,
          config: name ? { displayNameFromDS: name } : {},
          values: values.map(([, v]) => number(v)),
        },
      ],
    } as DataFrame;
  });
}

function table(refId: string, answers: Answer[], samples: (a: Answer) => Sample[]): DataFrame {
  const names: string[] = [];
  for (const { metric } of answers)
    for (const label of Object.keys(metric).sort()) if (!names.includes(label)) names.push(label);
  const rows = answers.flatMap((a) => samples(a).map((s) => ({ metric: a.metric, s })));
  return {
    refId,
    length: rows.length,
    meta: { preferredVisualisationType: 'table' },
    fields: [
      { name: 'Time', type: FieldType.time, config: {}, values: rows.map((r) => r.s[0] * 1000) },
      ...names.map((name) => ({
        name,
        type: FieldType.string,
        config: { filterable: true },
        values: rows.map((r) => r.metric[name] ?? ''),
      })),
      { name: `Value #${refId}`, type: FieldType.number, config: {}, values: rows.map((r) => number(r.s[1])) },
    ],
  } as DataFrame;
}
