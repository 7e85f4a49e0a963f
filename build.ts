import { build, type Plugin } from "esbuild";
import { glob, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";

const ROOT = import.meta.dirname;

/** Packages that are loaded on first use instead of at start. */
const LAZY =
  /^(?:google-auth-library|semver|@opentelemetry\/api|(?:node:)?(?:https|http2|child_process))$/;

/** Parts of packages that this program does not use, left out of the bundle. */
const UNUSED = new RegExp(
  `node_modules/(?:${[
    // JSON schemas, which no route has, and injected requests, which only tests use.
    "@fastify/ajv-compiler/index",
    "@fastify/fast-json-stringify-compiler/index",
    "light-my-request/index",
    "pino/lib/transport",
    "prom-client/lib/pushgateway",
    // Node has web streams of its own.
    "web-streams-polyfill/dist/ponyfill.es2018",
    // Other protocols than gRPC.
    "@connectrpc/connect/dist/esm/protocol-(?:connect|grpc-web)/handler-factory",
  ].join("|")})\\.js$`,
);

/** Replaces a package's exports by getters that load the package. */
const lazyPackages: Plugin = {
  name: "lazy packages",
  setup(bundle) {
    bundle.onResolve({ filter: LAZY }, ({ path, namespace }) =>
      namespace === "lazy" ? undefined : { path, namespace: "lazy" },
    );
    bundle.onLoad({ filter: LAZY, namespace: "lazy" }, async ({ path }) => {
      const names = Object.keys((await import(path)) as object).filter(
        (name) => name !== "default" && name !== "module.exports",
      );
      const getters = names.map((name) => `get ${name}() { return require("${path}").${name} }`);
      return { contents: `module.exports = { ${getters.join(", ")} }`, resolveDir: ROOT };
    });
  },
};

const unusedParts: Plugin = {
  name: "unused parts",
  setup(bundle) {
    bundle.onLoad({ filter: UNUSED }, () => ({ contents: "" }));
  },
};

/** The texts that Envoy configs are composed from, by file name. */
async function readEnvoyParts(): Promise<Readonly<Record<string, string>>> {
  const parts: Record<string, string> = {};
  for await (const path of glob(join(ROOT, "src/envoy/parts/*"))) {
    parts[basename(path)] = await readFile(path, "utf8");
  }
  return parts;
}

const { outputFiles } = await build({
  entryPoints: [join(ROOT, "src/main.ts")],
  outfile: join(ROOT, "dist/idtoken-authz.cjs"),
  write: false,
  bundle: true,
  minify: true,
  legalComments: "external",
  platform: "node",
  target: "node26",
  // An ES module would start more slowly: Node reads all exports of node:http for it, which loads
  // the whole of fetch.
  format: "cjs",
  // Node's path in the image. With 8 MB or more, V8 collects no garbage before the server listens.
  banner: { js: "#!/nodejs/bin/node --min-semi-space-size=8" },
  define: {
    ENVOY_PARTS: JSON.stringify(await readEnvoyParts()),
    "import.meta.dirname": "__dirname",
  },
  plugins: [lazyPackages, unusedParts],
});

// Written elsewhere and renamed, so that `npm pack` never sees half of a file.
for (const folder of ["dist", ".cache"]) await mkdir(join(ROOT, folder), { recursive: true });
for (const { path, contents } of outputFiles) {
  const temporary = join(ROOT, ".cache", `${basename(path)}.${process.pid}`);
  await writeFile(temporary, contents);
  await rename(temporary, path);
}
