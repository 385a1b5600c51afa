// The JSON of a dashboard, as strict as Grafana's published types allow.
//
// Those types leave a panel's options and custom field configuration open, since they depend on the panel's type, and
// write enumerations where JSON has their values. Both are closed here, so that a misspelt key or value is an error.

import type * as grafana from "@grafana/schema";
import type * as Heatmap from "@grafana/schema/dist/esm/raw/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen";
import type * as StateTimeline from "@grafana/schema/dist/esm/raw/composable/statetimeline/panelcfg/x/StateTimelinePanelCfg_types.gen";
import type * as Stat from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen";
import type * as Table from "@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen";
import type * as TimeSeries from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";

// JSON.stringify writes minus infinity, the value of the first threshold, as null.
type Threshold = Omit<grafana.Threshold, "value"> & { value: number | null };

// An enumeration becomes the union of its values.
type Json<T> = unknown extends T
  ? T
  : T extends grafana.Threshold
    ? Threshold
    : T extends string
      ? `${T}`
      : T extends (infer Item)[]
        ? Json<Item>[]
        : T extends object
          ? { [Key in keyof T]: Json<T[Key]> }
          : T;

// Grafana fills what is left out of options and custom field configuration with its defaults.
type Partly<T> = T extends (infer Item)[]
  ? Partly<Item>[]
  : T extends object
    ? { [Key in keyof T]?: Partly<T[Key]> }
    : T;

type StandardFieldConfig = Omit<grafana.FieldConfig, "custom">;

type Property<Custom> =
  | { [Key in keyof StandardFieldConfig & string]-?: { id: Key; value: Json<StandardFieldConfig[Key]> } }[keyof StandardFieldConfig &
      string]
  | { [Key in keyof Custom & string]-?: { id: `custom.${Key}`; value: Partly<Json<Custom[Key]>> } }[keyof Custom & string];

// The data source's own package, @grafana/prometheus, is no part of the published schema.
interface PrometheusQuery {
  datasource: Json<grafana.DataSourceRef>;
  exemplar?: boolean;
  expr: string;
  format?: "time_series" | "table" | "heatmap";
  instant?: boolean;
  interval?: string;
  legendFormat?: string;
  range?: boolean;
  refId: string;
}

interface PrometheusAnnotation extends Json<Omit<grafana.AnnotationQuery, "target">> {
  expr: string;
  target: PrometheusQuery;
  textFormat: string;
  titleFormat: string;
  useValueForTime: boolean;
}

// public/app/plugins/panel/alertlist/types.ts; the panel has no published schema.
interface AlertListOptions {
  alertInstanceLabelFilter: string;
  alertName: string;
  dashboardAlerts: boolean;
  groupBy: string[];
  groupMode: "default" | "custom";
  maxItems: number;
  showInactiveAlerts: boolean;
  showInstances: boolean;
  sortOrder: 1 | 2 | 3 | 4 | 5;
  stateFilter: {
    error: boolean;
    firing: boolean;
    noData: boolean;
    normal: boolean;
    pending: boolean;
    recovering: boolean;
  };
  viewMode: "list" | "stat";
}

interface FieldConfigSource<Custom> {
  defaults: Json<StandardFieldConfig> & { custom?: Partly<Json<Custom>> };
  overrides: { matcher: Json<grafana.MatcherConfig>; properties: Property<Custom>[] }[];
}

type Panel<Type extends string, Options, Custom> = Json<
  Omit<grafana.Panel, "type" | "options" | "fieldConfig" | "targets" | "transformations">
> & {
  fieldConfig: FieldConfigSource<Custom>;
  options: Partly<Json<Options>>;
  targets?: PrometheusQuery[];
  transformations?: Json<grafana.DataTransformerConfig>[];
  type: Type;
};

// By type, not as a union: an option of another type's panel would pass as a member of the union.
export interface Panels {
  alertlist: Panel<"alertlist", AlertListOptions, Record<never, never>>;
  heatmap: Panel<"heatmap", Heatmap.Options, Heatmap.FieldConfig>;
  stat: Panel<"stat", Stat.Options, Record<never, never>>;
  "state-timeline": Panel<"state-timeline", StateTimeline.Options, StateTimeline.FieldConfig>;
  // Grafana 12 took `hidden` out of the type and reads it all the same: its table migrates it to `hideFrom`.
  table: Panel<"table", Table.Options, Table.FieldConfig & { hidden?: boolean }>;
  timeseries: Panel<"timeseries", TimeSeries.Options, TimeSeries.FieldConfig>;
}

export type DashboardWithoutPanels = Json<Omit<grafana.Dashboard, "annotations" | "panels">> & {
  annotations: { list: PrometheusAnnotation[] };
};
