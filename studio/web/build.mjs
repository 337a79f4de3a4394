// Bundles the page into the Python package, src/striate/studio/page.
import { copyFile, mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { context } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const page = `${here}../../src/striate/studio/page`;
await mkdir(page, { recursive: true });
const bundling = await context({
  entryPoints: { studio: `${here}src/main.ts` },
  outdir: page,
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  legalComments: "none",
});
for (const name of ["index.html", "studio.css", "icon.svg"]) await copyFile(`${here}src/${name}`, `${page}/${name}`);
if (process.argv.includes("--watch")) await bundling.watch();
else {
  await bundling.rebuild();
  await bundling.dispose();
}
