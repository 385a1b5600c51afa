// What every panel is given, and what it shows without data.
import type { DataFrame, FieldConfigSource, GrafanaTheme2, TimeRange } from '@grafana/data';

export type Panel = {
  id: number;
  type: string;
  title: string;
  description?: string;
  gridPos: { x: number; y: number; w: number; h: number };
  targets?: any[];
  timeFrom?: string;
  maxDataPoints?: number;
  options: any;
  fieldConfig: FieldConfigSource<any>;
  transformations?: any[];
};
export type Props = {
  panel: Panel;
  frames: DataFrame[];
  width: number;
  height: number;
  range: TimeRange;
  theme: GrafanaTheme2;
  zone: string;
};

export const Empty = ({ panel, height }: { panel: Panel; height: number }) => (
  <div
    style={{
      height,
      display: 'flex',
      alignItems: 'center',
      justifyContent: 'center',
      fontSize: 18,
      padding: '0 8px',
      textAlign: 'center',
    }}
  >
    {panel.fieldConfig?.defaults?.noValue ?? 'No data'}
  </div>
);
