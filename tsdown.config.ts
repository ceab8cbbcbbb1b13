import { defineConfig, type UserConfig } from "tsdown";

/**
 * Two ways in: the `gyre` command and the package's API. Chunks lie flat in dist/, so that `../stdlib/` is the standard
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
