// Standard input: manifests of the Prometheus operator's kinds. Standard output: what is wrong with each, as
// [name, fault]: the CRDs' own schemas for values, their TypeScript types for keys, which the schemas leave open.
import * as kinds from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";
import { json } from "node:stream/consumers";
import ts from "typescript";

const manifests = await json(process.stdin);
const faults = [];

for (const manifest of manifests) {
  try {
    new kinds[manifest.kind](manifest).validate();
  } catch (fault) {
    faults.push([manifest.metadata?.name ?? "?", fault.message]);
  }
}

const source = [
  ...[...new Set(manifests.map(({ kind }) => kind))].map(
    (kind) => `import type { I${kind} } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";`,
  ),
  ...manifests.map((manifest, index) => `const m${index}: I${manifest.kind} = ${JSON.stringify(manifest)};`),
].join("\n");
const path = new URL("manifests.ts", import.meta.url).pathname;  // never written: only says where packages are found
const options = {
  noEmit: true,
  strict: true,
  skipLibCheck: true,
  types: [],
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
};
const host = ts.createCompilerHost(options);
const { fileExists, readFile, getSourceFile } = host;
host.fileExists = (file) => file === path || fileExists(file);
host.readFile = (file) => (file === path ? source : readFile(file));
host.getSourceFile = (file, ...rest) =>
  file === path ? ts.createSourceFile(file, source, rest[0]) : getSourceFile(file, ...rest);
for (const { messageText } of ts.getPreEmitDiagnostics(ts.createProgram([path], options, host))) {
  faults.push(["types", ts.flattenDiagnosticMessageText(messageText, "\n")]);
}
process.stdout.write(JSON.stringify(faults));
