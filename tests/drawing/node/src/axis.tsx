// The axis of time below what is drawn here and not by Grafana.
import { dateTimeFormat, type GrafanaTheme2, type TimeRange } from '@grafana/data';
import { zone } from './situation';

const PARTS = 6;

/** Where a moment lies between two edges, in px. */
export function xOf(range: TimeRange, left: number, right: number) {
  const [from, to] = [range.from.valueOf(), range.to.valueOf()];
  return (time: number) => left + ((Math.min(Math.max(time, from), to) - from) / (to - from)) * (right - left);
}

type Props = { range: TimeRange; x: (time: number) => number; y: number; theme: GrafanaTheme2 };

export function TimeAxis({ range, x, y, theme }: Props) {
  const [from, to] = [range.from.valueOf(), range.to.valueOf()];
  const times = [...Array(PARTS + 1).keys()].map((part) => from + ((to - from) * part) / PARTS);
  const anchor = (part: number) => (part === 0 ? 'start' : part === PARTS ? 'end' : 'middle');
  return times.map((time, part) => (
    <text key={time} x={x(time)} y={y} textAnchor={anchor(part)} fill={theme.colors.text.secondary}>
      {dateTimeFormat(time, { format: 'HH:mm', timeZone: zone })}
    </text>
  ));
}
