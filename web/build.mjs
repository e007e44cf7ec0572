// Bundles scripts and styles of the report and the evaluation pages into the Python packages: npm ci && npm run build.
// Their sources are in src/. Without npm the packages are built from the bundles, which are part of the repository;
// tests/unit/test_web.py says when they are stale.
import { build } from "esbuild";
import { readFile, writeFile } from "node:fs/promises";

const HERE = new URL(".", import.meta.url);
const out = process.argv[2] ? new URL(`file://${process.argv[2]}/`) : new URL("../", HERE);
const licence = (await readFile(new URL("node_modules/uplot/LICENSE", HERE), "utf8")).trim();
const version = JSON.parse(await readFile(new URL("node_modules/uplot/package.json", HERE), "utf8")).version;
const BUNDLES = [
  ["src/main.js", "pipeline/speechmill/publish/report/page.js"],
  ["src/report.css", "pipeline/speechmill/publish/report/page.css"],
  ["src/evaluation.css", "pipeline/speechmill/training/page.css"],
  ["src/evaluation.css", "classifiers/speech_defects/evaluate/report.css"],
  ["src/review/main.js", "pipeline/speechmill/corpus/review/review.js"],
  ["src/review/review.css", "pipeline/speechmill/corpus/review/review.css"],
];

for (const [source, target] of BUNDLES) {
  const { outputFiles } = await build({
    entryPoints: [new URL(source, HERE).pathname],
    bundle: true,
    minify: true,
    write: false,
    format: "iife",
    charset: "utf8",
    target: ["es2023", "css3"].slice(0, source.endsWith(".js") ? 1 : 0),
    legalComments: "none",
    loader: { ".css": "css" },
  });
  const credit = /evaluation|review/.test(source) ? "" : ` With uPlot ${version}:\n${licence}\n`;
  const banner = `/* Made from web/src by web/build.mjs.${credit} */\n`;
  await writeFile(new URL(target, out), banner + outputFiles[0].text);
}
