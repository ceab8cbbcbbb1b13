import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { defineConfig, type UserConfig } from "tsdown";

/** `import style from "./style.css"` gives the file's text. */
const styleAsText = {
  name: "style-as-text",
  resolveId: (name: string, from: string | undefined) =>
    name.endsWith(".css") && from ? `${join(dirname(from), name)}.text` : null,
  load: (id: string) =>
    id.endsWith(".css.text") ? `export default ${JSON.stringify(readFileSync(id.slice(0, -5), "utf8"))}` : null,
};

/**
 * Three ways in: the `gyre` command, the package's API, and its API for pages. Chunks lie flat in dist/, so that `../stdlib/` is the standard
 * library both from here and from the sources. Pure-JavaScript packages are bundled, which makes the command start
 * three times as fast; those with binaries stay outside and are imported when a device is opened.
 */
export default defineConfig([
  {
    entry: { gyre: "cli/gyre.ts" },
    dts: false,
    clean: true,
    ...shared(),
  },
  { entry: { index: "index.ts" }, dts: true, clean: false, ...shared() },
  { entry: { browser: "browser.ts" }, dts: true, clean: false, ...shared(), platform: "browser", target: "es2023" },
  {
    // The page that `gyre inspect --html` writes: one script for the browser, its style in it.
    entry: { inspector: "inspector/page/main.ts" },
    format: "iife",
    platform: "browser",
    target: "es2023",
    outDir: "dist",
    tsconfig: "inspector/page/tsconfig.json",
    outputOptions: { entryFileNames: "[name].js" },
    plugins: [styleAsText],
    minify: true,
    dts: false,
    clean: false,
    report: false,
    logLevel: "error",
  },
]);

function shared(): UserConfig {
  return {
    format: "esm",
    platform: "node",
    target: "node20",
    outDir: "dist",
    fixedExtension: false,
    outputOptions: { chunkFileNames: "[name]-[hash].js" },
    deps: {
      alwaysBundle: [/^chevrotain/, /^@chevrotain/, "lodash-es", "commander", "picocolors"],
      onlyBundle: false,
    },
    report: false,
    logLevel: "error",
  };
}
