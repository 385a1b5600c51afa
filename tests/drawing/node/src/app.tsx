// Draws one dashboard, and leaves what was drawn as text in `window.drawn`; `window.settled` waits for changes to end.
import { ThemeContext } from '@grafana/data';
import { GlobalStyles, PanelChrome } from '@grafana/ui';
import { createRoot } from 'react-dom/client';
import { dump } from './dump';
import { box, type Drawn, load, MARGIN, spanOf } from './load';
import type { Panel } from './panel';
import { PANELS } from './panels';
import { ALL, ask, type Scope } from './query';
import { setUp } from './registry';
import { chosen, dash, prometheus, range, stopTheClock, theme, width, zone } from './situation';

type Dashboard = { title: string; links?: { title: string }[]; panels: Panel[]; templating: any; annotations?: any };

function Head({ dashboard, scope }: { dashboard: Dashboard; scope: Scope }) {
  const choice = { border: `1px solid ${theme.colors.border.medium}`, padding: '4px 8px' };
  const choices = Object.entries(scope).filter(([name]) => name !== 'datasource');
  return (
    <div style={{ display: 'flex', gap: 12, marginBottom: 12, fontSize: 14, alignItems: 'center' }}>
      <b>{dashboard.title}</b>
      {choices.map(([name, values]) => (
        <span key={name} style={choice}>
          {name}: {values.join(', ').replace('$__all', 'All')}
        </span>
      ))}
      {(dashboard.links ?? []).map((link) => (
        <span key={link.title}>↗ {link.title}</span>
      ))}
      <span style={{ marginLeft: 'auto' }}>
        {range.from.utc().format('YYYY-MM-DD HH:mm')} – {range.to.utc().format('HH:mm')} UTC
      </span>
    </div>
  );
}

function Framed({ panel, frames, error }: Drawn) {
  const { left, top, width, height } = box(panel.gridPos);
  const Draw = PANELS[panel.type];
  return (
    <div id={`panel-${panel.id}`} style={{ position: 'absolute', left, top, width, height }}>
      <PanelChrome title={panel.title} width={width} height={height} statusMessage={error} padding="md">
        {(w, h) =>
          error ? (
            <div style={{ color: theme.colors.error.text }}>{error}</div>
          ) : (
            <Draw panel={panel} frames={frames} width={w} height={h} range={spanOf(panel)} theme={theme} zone={zone} />
          )
        }
      </PanelChrome>
    </div>
  );
}

function Page({ dashboard, scope, drawn }: { dashboard: Dashboard; scope: Scope; drawn: Drawn[] }) {
  const boxes = drawn.map(({ panel }) => box(panel.gridPos));
  const page = {
    background: theme.colors.background.canvas,
    color: theme.colors.text.primary,
    fontFamily: theme.typography.fontFamily,
    boxSizing: 'border-box' as const,
    padding: MARGIN,
    width,
  };
  return (
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <div id="page" style={page}>
        <Head dashboard={dashboard} scope={scope} />
        <div style={{ position: 'relative', height: Math.max(...boxes.map(({ top, height }) => top + height)) }}>
          {drawn.map((one) => (
            <Framed key={one.panel.id} {...one} />
          ))}
        </div>
      </div>
    </ThemeContext.Provider>
  );
}

function scopeOf(dashboard: Dashboard): Scope {
  const scope: Scope = {};
  for (const { name, allValue } of dashboard.templating.list) {
    ALL[name] = allValue ?? '.+';
    scope[name] = chosen(name);
  }
  return scope;
}

/** The annotations are asked for and counted; `TimeSeries` has no place to draw them. */
async function annotations(dashboard: Dashboard, scope: Scope) {
  const asked = (dashboard.annotations?.list ?? []).filter((one: any) => one.target?.expr ?? one.expr);
  const counts = asked.map(async (one: any) => {
    const expr = one.target?.expr ?? one.expr;
    const target = { refId: one.name, expr, range: true, legendFormat: `${one.titleFormat} | ${one.textFormat}` };
    const frames = await ask(target, range, 400, scope);
    return [one.name, frames.map((frame) => [frame.name, frame.length])];
  });
  return Object.fromEntries(await Promise.all(counts));
}

const QUIET_FRAMES = 20;
const PATIENCE = 30_000;

/**
 * Wait until nothing on the page has changed for a while: tables and charts take several turns. It counts frames, not
 * time, because sizes are measured once a frame, and a busy machine makes few of them.
 */
async function settled(): Promise<void> {
  let quiet = 0;
  const seen = new MutationObserver(() => {
    quiet = 0;
  });
  seen.observe(document.body, { attributes: true, childList: true, subtree: true, characterData: true });
  const latest = performance.now() + PATIENCE;
  while (quiet++ < QUIET_FRAMES && performance.now() < latest) await new Promise(requestAnimationFrame);
  seen.disconnect();
}

async function draw() {
  setUp();
  const dashboard: Dashboard = await (await fetch(`/dashboards/${dash}.json`)).json();
  const scope = scopeOf(dashboard);
  const panels = dashboard.panels.filter(({ type }) => type !== 'row');
  const drawn = await Promise.all(panels.map((panel) => load(panel, scope)));
  const marks = await annotations(dashboard, scope);
  createRoot(document.getElementById('root')!).render(<Page dashboard={dashboard} scope={scope} drawn={drawn} />);
  await settled();
  return { dashboard: dash, prometheus, panels: drawn.map(dump), annotations: marks };
}

stopTheClock();
Object.assign(window, { drawn: draw(), settled });
