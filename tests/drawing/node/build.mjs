// node build.mjs FOLDER: writes app.js and app.css
import { build } from 'esbuild';

// Editors and maps that @grafana/ui carries and no panel here draws.
const unused = new RegExp(
  '^(monaco-editor|ol|geotiff|slate|slate-react|sql-formatter|react-monaco-editor|codemirror|prismjs' +
    '|@react-awesome-query-builder|@monaco-editor|@codemirror)(/|$)',
);
// Anything that is read from it is a class that does nothing.
const nothing = `module.exports = new Proxy(function () {}, {
  get: (target, key) => (key === '__esModule' ? false : key === 'prototype' ? target.prototype : class {}),
});`;
const stub = {
  name: 'stub',
  setup(build) {
    build.onResolve({ filter: unused }, ({ path }) => ({ path, namespace: 'stub' }));
    build.onLoad({ filter: /.*/, namespace: 'stub' }, () => ({ contents: nothing, loader: 'js' }));
  },
};

await build({
  entryPoints: ['src/app.tsx'],
  outfile: `${process.argv[2]}/app.js`,
  bundle: true,
  format: 'iife',
  platform: 'browser',
  jsx: 'automatic',
  minify: true,
  legalComments: 'none',
  logLevel: 'warning',
  plugins: [stub],
  define: { 'process.env.NODE_ENV': '"production"', global: 'window' },
  loader: { '.svg': 'text', '.css': 'css', '.png': 'empty', '.woff2': 'empty', '.ttf': 'empty' },
});
