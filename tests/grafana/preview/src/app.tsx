import * as React from 'react';
import { createRoot } from 'react-dom/client';
import { lastValueFrom } from 'rxjs';
import { applyFieldOverrides, getFieldDisplayValuesProxy, createTheme, type DataFrame, dateTime, formattedValueToString, getFieldDisplayName, type TimeRange, ThemeContext, transformDataFrame } from '@grafana/data';
import { GlobalStyles, PanelChrome } from '@grafana/ui';
import { ALL, ask, interpolate, type Scope } from './query';
import { PANELS, type Panel } from './panels';
import { registryFor, setUp } from './registry';

const params = new URLSearchParams(location.search);
const theme = createTheme({ colors: { mode: params.get('theme') === 'light' ? 'light' : 'dark' } });
const now = Number(params.get('now')) || Date.now();
if (params.get('now')) { // the clock of relative units stands at the end of the recorded data
  const Real = Date, shift = now - Real.now();
  (window as any).Date = class extends Real { constructor(...a: any[]) { a.length ? super(...(a as [any])) : super(Real.now() + shift); } static now() { return Real.now() + shift; } };
}
const span = Number(params.get('range') ?? 21600);
const range: TimeRange = { from: dateTime(now - span * 1000), to: dateTime(now), raw: { from: `now-${span}s`, to: 'now' } };
const zone = 'utc';
const CELL = 30, GAP = 8, WIDTH = Number(params.get('width') ?? 1888);

type Drawn = { panel: Panel; frames: DataFrame[]; error?: string };
const box = ({ x, y, w, h }: Panel['gridPos']) => {
  const column = (WIDTH - 23 * GAP) / 24;
  return { left: x * (column + GAP), top: y * (CELL + GAP), width: w * column + (w - 1) * GAP, height: h * CELL + (h - 1) * GAP };
};

/** Variables of data links; `__data.fields` by the real proxy. */
function linkText(text: string, scope: Scope, scoped?: any): string {
  const context = scoped?.__dataContext?.value;
  return text
    .replace(/\$\{__data\.fields\.(\w+)(?::percentencode)?\}/g, (whole, name) => (context ? encodeURIComponent(String(getFieldDisplayValuesProxy({ frame: context.frame, rowIndex: context.rowIndex })[name])) : whole))
    .replace(/\$\{(\w+):queryparam\}/g, (_, name) => (scope[name] ?? []).map((v) => `var-${name}=${encodeURIComponent(v)}`).join('&'))
    .replace(/\$\{__url_time_range\}/g, `from=${range.raw.from}&to=now`);
}

async function load(panel: Panel, scope: Scope): Promise<Drawn> {
  try {
    const points = Math.min(panel.maxDataPoints ?? Infinity, Math.floor(box(panel.gridPos).width));
    const answers = (await Promise.all((panel.targets ?? []).map((t) => ask(t, range, points, scope)))).flat();
    const replace = (s: string) => interpolate(s, scope);
    const moved = panel.transformations?.length ? await lastValueFrom(transformDataFrame(panel.transformations, answers, { interpolate: replace })) : answers;
    const frames = applyFieldOverrides({ data: moved, fieldConfig: panel.fieldConfig, replaceVariables: (s, scoped) => linkText(s, scope, scoped), theme, timeZone: zone, fieldConfigRegistry: registryFor(panel.type) });
    return { panel, frames };
  } catch (error) {
    return { panel, frames: [], error: String(error) };
  }
}

/** What was drawn, as text: for tests and for eyes that can't see pictures. */
function dump({ panel, frames, error }: Drawn) {
  return {
    title: panel.title, type: panel.type, error,
    frames: frames.slice(0, 40).map((frame) => ({
      refId: frame.refId, rows: frame.length,
      fields: frame.fields.map((field) => ({ name: getFieldDisplayName(field, frame, frames), raw: field.name, type: field.type, link: field.config.links?.length && frame.length ? field.getLinks?.({ valueRowIndex: 0 })[0]?.href : undefined, values: field.values.slice(-40).map((v: unknown) => (field.display ? formattedValueToString(field.display(v)) : String(v))) })),
    })),
    count: frames.length,
  };
}

function App({ dashboard, scope, drawn }: { dashboard: any; scope: Scope; drawn: Drawn[] }) {
  const bottom = Math.max(...drawn.map(({ panel }) => box(panel.gridPos).top + box(panel.gridPos).height));
  return (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <div id="page" style={{ background: theme.colors.background.canvas, padding: 16, width: WIDTH + 32, fontFamily: theme.typography.fontFamily, color: theme.colors.text.primary }}>
        <div style={{ display: 'flex', gap: 12, marginBottom: 12, fontSize: 14, alignItems: 'center' }}>
          <b>{dashboard.title}</b>
          {Object.entries(scope).filter(([k]) => k !== 'datasource').map(([k, v]) => <span key={k} style={{ border: `1px solid ${theme.colors.border.medium}`, padding: '4px 8px' }}>{k}: {v.join(', ').replace('$__all', 'All')}</span>)}
          {(dashboard.links ?? []).map((l: any) => <span key={l.title}>↗ {l.title}</span>)}
          <span style={{ marginLeft: 'auto' }}>{range.from.utc().format('YYYY-MM-DD HH:mm')} – {range.to.utc().format('HH:mm')} UTC</span>
        </div>
        <div style={{ position: 'relative', height: bottom }}>
          {drawn.map(({ panel, frames, error }) => {
            const { left, top, width, height } = box(panel.gridPos), Draw = PANELS[panel.type];
            return (
              <div key={panel.id} id={`panel-${panel.id}`} style={{ position: 'absolute', left, top, width, height }}>
                <PanelChrome title={panel.title} width={width} height={height} statusMessage={error} padding={panel.type === 'table' ? 'md' : 'md'}>
                  {(w, h) => (error ? <div style={{ color: theme.colors.error.text }}>{error}</div> : Draw ? <Draw panel={panel} frames={frames} width={w} height={h} range={range} theme={theme} zone={zone} /> : <div>no preview of {panel.type}</div>)}
                </PanelChrome>
              </div>
            );
          })}
        </div>
      </div>
    </ThemeContext.Provider>
  );
}

async function main() {
  setUp();
  const dashboard = await (await fetch(`/dashboards/${params.get('dash')}.json`)).json();
  const scope: Scope = {};
  for (const variable of dashboard.templating.list) ALL[variable.name] = variable.allValue ?? '.+';
  for (const variable of dashboard.templating.list) scope[variable.name] = params.getAll(`var-${variable.name}`).length ? params.getAll(`var-${variable.name}`) : ['$__all'];
  const panels: Panel[] = dashboard.panels.filter((p: Panel) => p.type !== 'row');
  const drawn = await Promise.all(panels.map((p) => load(p, scope)));
  const annotations: Record<string, unknown> = {};
  for (const a of dashboard.annotations?.list ?? []) {
    if (!a.expr && !a.target?.expr) continue;
    try { annotations[a.name] = (await ask({ refId: a.name, expr: a.target?.expr ?? a.expr, range: true, legendFormat: `${a.titleFormat} | ${a.textFormat}` }, range, 400, scope)).map((f) => [f.name, f.length]); } catch (e) { annotations[a.name] = String(e); }
  }
  (window as any).__dump = { panels: drawn.map(dump), annotations };
  createRoot(document.getElementById('root')!).render(<App dashboard={dashboard} scope={scope} drawn={drawn} />);
  setTimeout(() => ((window as any).__ready = true), 1500);
}
main().catch((e) => { (window as any).__failed = String(e.stack ?? e); (window as any).__ready = true; });
