// Not Grafana's: @grafana/ui has no heat map. A rectangle for each bucket and step, the darker the more.
import { FieldType, formattedValueToString, getValueFormat } from '@grafana/data';
import { TimeAxis, xOf } from './axis';
import { Empty, type Props } from './panel';

const LEFT = 64;
const AXIS = 24;

/** Counts by bucket from the lowest up: Prometheus counts in each bucket also what is in the ones below it. */
function buckets({ frames }: Props) {
  const found = frames
    .map((frame) => ({ times: frame.fields[0], field: frame.fields.find(({ type }) => type === FieldType.number)! }))
    .map(({ times, field }) => ({
      bound: Number((field.labels?.le ?? '').replace('+Inf', 'Infinity')),
      step: times.config.interval ?? 0,
      counts: new Map<number, number>(times.values.map((time, i) => [time, field.values[i]])),
    }))
    .sort((one, other) => one.bound - other.bound);
  return found.map((bucket, i) => {
    const below = found[i - 1]?.counts;
    const own = [...bucket.counts].map(([time, count]) => [time, count - (below?.get(time) ?? 0)] as const);
    return { ...bucket, own: own.filter(([, count]) => count > 0) };
  });
}

export function HeatMap(props: Props) {
  const { panel, width, height, range, theme } = props;
  const rows = buckets(props);
  const most = Math.max(...rows.flatMap(({ own }) => own.map(([, count]) => count)));
  if (!(most > 0)) return <Empty panel={panel} height={height} />;
  const each = (height - AXIS) / rows.length;
  const x = xOf(range, LEFT, width);
  const bound = getValueFormat(panel.options.yAxis?.unit);
  return (
    <svg width={width} height={height} style={{ fontSize: 12, fontFamily: theme.typography.fontFamily }}>
      {rows.map(({ bound: le, step, own }, i) => {
        const top = height - AXIS - (i + 1) * each;
        return (
          <g key={le}>
            <text x={LEFT - 6} y={top + each / 2 + 4} textAnchor="end" fill={theme.colors.text.secondary}>
              {Number.isFinite(le) ? formattedValueToString(bound(le)) : '+Inf'}
            </text>
            {own.map(([time, count]) => (
              <rect
                key={time}
                x={x(time - step)}
                width={Math.max(1, x(time) - x(time - step) - 1)}
                y={top}
                height={each - 1}
                fill={theme.visualization.getColorByName('blue')}
                fillOpacity={Math.sqrt(count / most)}
              />
            ))}
          </g>
        );
      })}
      <TimeAxis range={range} x={x} y={height - 6} theme={theme} />
    </svg>
  );
}
