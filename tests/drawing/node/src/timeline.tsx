// Not Grafana's: @grafana/ui has no state timeline. Bars of equal values, coloured by the real display processors.
import { type DataFrame, type Field, FieldType, formattedValueToString, getFieldDisplayName } from '@grafana/data';
import { LegendDisplayMode, VizLayout, VizLegend } from '@grafana/ui';
import { TimeAxis, xOf } from './axis';
import { Empty, type Props } from './panel';

const AXIS = 24;

type Row = { frame: DataFrame; field: Field };
type Bar = { from: number; to: number; value: unknown };

/** Runs of equal values that follow each other step by step. */
function bars({ frame, field }: Row): Bar[] {
  const step = frame.fields[0].config.interval ?? 0;
  const found: Bar[] = [];
  frame.fields[0].values.forEach((time, i) => {
    const last = found.at(-1);
    const value = field.values[i];
    if (last && last.value === value && time <= last.to + step / 2) last.to = time + step;
    else found.push({ from: time, to: time + step, value });
  });
  return found;
}

function legend(rows: Row[]) {
  const words = new Map<string, string>();
  for (const { field } of rows)
    for (const value of field.values) {
      const shown = field.display!(value);
      if (shown.color) words.set(formattedValueToString(shown), shown.color);
    }
  const items = [...words].map(([label, color]) => ({ label, color, yAxis: 1 }));
  return (
    <VizLayout.Legend placement="bottom">
      <VizLegend placement="bottom" items={items} displayMode={LegendDisplayMode.List} />
    </VizLayout.Legend>
  );
}

export function Timeline({ panel, frames, width, height, range, theme }: Props) {
  const rows = frames.flatMap((frame) =>
    frame.fields.filter((field) => field.type === FieldType.number).map((field) => ({ frame, field })),
  );
  if (!rows.some(({ field }) => field.values.length)) return <Empty panel={panel} height={height} />;
  const names = rows.map(({ frame, field }) => getFieldDisplayName(field, frame, frames));
  // Grafana lets the axis of names take what the longest name needs.
  const left = Math.min(width * 0.6, Math.max(...names.map((name) => name.length * 6.6)) + 16);
  const draw = (w: number, h: number) => {
    const each = (h - AXIS) / rows.length;
    const x = xOf(range, left, w);
    return (
      <svg width={w} height={h} style={{ fontSize: 12, fontFamily: theme.typography.fontFamily }}>
        {rows.map((row, i) => (
          <g key={i}>
            <text x={left - 6} y={(i + 0.5) * each + 4} textAnchor="end" fill={theme.colors.text.primary}>
              {names[i]}
            </text>
            {bars(row).map(({ from, to, value }) => (
              <rect
                key={from}
                x={x(from)}
                width={Math.max(1, x(to) - x(from))}
                y={(i + 0.1) * each}
                height={each * 0.8}
                fill={row.field.display!(value).color}
                fillOpacity={(row.field.config.custom?.fillOpacity ?? 70) / 100}
              />
            ))}
          </g>
        ))}
        <TimeAxis range={range} x={x} y={h - 6} theme={theme} />
      </svg>
    );
  };
  return (
    <VizLayout width={width} height={height} legend={legend(rows)}>
      {draw}
    </VizLayout>
  );
}
