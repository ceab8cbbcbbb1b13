/**
 * A typed TypeScript function for a compiled entry point: inputs by name, records nested, shapes in the doc comments.
 * The file stands beside the schedule and the kernels that `gyre build` writes, and runs them with the package `gyre`.
 */
import type { CodeBlockWriter } from "ts-morph";
import type { DType, Port, Schedule } from "../schedule/schedule.ts";
import type { Dialect, TensorView } from "./text.ts";

export type BindingSource = {
  readonly schedule: Schedule;
  readonly kernels: readonly KernelFacts[];
  /** The doc comment of the entry point. */
  readonly doc?: string;
  /** Whether the kernels lie in `ENTRY.cubin` too. */
  readonly cubin?: boolean;
};

/** A kernel beside its text, which lies in `ENTRY.NAME.wgsl`; in CUDA C++ all lie in `ENTRY.cu`. */
export type KernelFacts = {
  readonly name: string;
  readonly dialect: Dialect;
  readonly entry: string;
  readonly access: readonly ("read" | "read_write")[];
  readonly uniformWords: number;
  readonly threads: number;
  readonly sharedBytes: number;
  readonly tensors?: readonly TensorView[];
};

/** The text of `ENTRY.ts`. ts-morph is loaded when this is called. */
export async function bindings(source: BindingSource): Promise<string> {
  const { Project, IndentationText, VariableDeclarationKind } = await import("ts-morph");
  const { schedule } = source;
  const project = new Project({
    useInMemoryFileSystem: true,
    manipulationSettings: { indentationText: IndentationText.TwoSpaces, useTrailingCommas: true },
  });
  const file = project.createSourceFile(`${schedule.name}.ts`, "");
  const entry = identifier(schedule.name);
  const title = pascal(schedule.name);
  const dialect = source.kernels[0]?.dialect ?? "wgsl";
  const inputs = tree(schedule.inputs);
  const result = tree(schedule.outputs);

  file.addStatements([
    `// Made by \`gyre build\` for entry ${schedule.name} on ${meshText(schedule)}. Do not edit.`,
    `import { readFile } from "node:fs/promises";`,
    `import { type Executable, open, type OpenSessionOptions, type RunOptions } from "gyre";`,
  ]);
  file.addTypeAlias({
    name: `${title}Inputs`,
    isExported: true,
    docs: ["Row-major, in global order, whatever the mesh."],
    type: (w) => writeType(w, inputs),
  });
  file.addTypeAlias({
    name: `${title}Result`,
    isExported: true,
    docs: result.kind === "leaf" ? [describe(result.port)] : ["Row-major, in global order, whatever the mesh."],
    type: (w) => writeType(w, result),
  });
  file.addTypeAlias({
    name: `${title}Program`,
    isExported: true,
    docs: ["The program on its devices. Close it to give them back."],
    type: (w) =>
      w.inlineBlock(() => {
        w.writeLine(`readonly run: (inputs: ${title}Inputs, options?: RunOptions) => Promise<${title}Result>;`);
        w.writeLine("readonly close: () => void;");
      }),
  });
  file.addFunction({
    name: `open${title}`,
    isExported: true,
    isAsync: true,
    docs: ["Opens a device for each mesh position and loads the program; `run` may then be called many times."],
    parameters: [{ name: "options", type: "OpenSessionOptions", initializer: "{}" }],
    returnType: `Promise<${title}Program>`,
    statements: (w) => {
      const devices = schedule.mesh.axes.reduce((n, axis) => n * axis.size, 1);
      w.writeLine('const read = (name: string) => readFile(new URL(name, import.meta.url), "utf8");');
      w.writeLine(
        `const schedule: Executable["schedule"] = JSON.parse(await read("./${schedule.name}.schedule.json"));`,
      );
      for (const line of kernelLines[dialect](source)) w.writeLine(line);
      w.writeLine(`const session = await open({ devices: ${devices}, backend: "${backends[dialect]}", ...options });`);
      w.writeLine("const program = await session.load({ schedule, kernels });");
      w.write("return ").inlineBlock(() => {
        w.write("run: async (inputs, options) => ").inlineBlock(() => {
          w.write("const results = await program.run(").inlineBlock(() => {
            for (const [path, access] of accesses(inputs, "inputs")) w.writeLine(`${key(path)}: ${access},`);
          });
          w.write(", options);").newLine();
          w.writeLine("const read = async (path: string) => {");
          w.writeLine("  const array = results[path]!;");
          w.writeLine("  const { data } = await array.read();");
          w.writeLine("  array.free();");
          w.writeLine("  return data;");
          w.writeLine("};");
          w.write("return ");
          writeResult(w, result);
          w.write(";");
        });
        w.write(",").newLine();
        w.writeLine("close: () => session.close(),");
      });
      w.write(";");
    },
  });
  file.addFunction({
    name: entry,
    isExported: true,
    isAsync: true,
    docs: [`${(source.doc ?? `Entry ${schedule.name}.`).trim()}\n\nOpens the devices, runs once, and closes them.`],
    parameters: [
      { name: "inputs", type: `${title}Inputs` },
      { name: "options", type: "OpenSessionOptions & RunOptions", initializer: "{}" },
    ],
    returnType: `Promise<${title}Result>`,
    statements: [
      `const program = await open${title}(options);`,
      `try {\n  return await program.run(inputs, options);\n} finally {\n  program.close();\n}`,
    ],
  });
  const facts = source.kernels.map(({ name, dialect, entry, access, uniformWords, threads, sharedBytes, tensors }) => ({
    name,
    dialect,
    entry,
    access,
    uniformWords,
    threads,
    sharedBytes,
    ...(tensors && { tensors }),
  }));
  file.addVariableStatement({
    declarationKind: VariableDeclarationKind.Const,
    leadingTrivia: "/** What the runtime has to know of each kernel besides its text. */\n",
    declarations: [
      {
        name: "kernelFacts",
        type: 'readonly Omit<Executable["kernels"][number], "text">[]',
        initializer: JSON.stringify(facts, null, 2),
      },
    ],
  });
  file.formatText({ indentSize: 2 });
  return file.getFullText();
}

/** Statements that make `kernels`: from a file each. */
const wgslKernels = ({ schedule: { name } }: BindingSource): readonly string[] => [
  'const kernels: Executable["kernels"] = await Promise.all(',
  `  kernelFacts.map(async (k) => ({ ...k, text: await read(\`./${name}.\${k.name}.wgsl\`) })),`,
  ");",
];
/** A module is read as it is. */
const wasmKernels = ({ schedule: { name } }: BindingSource): readonly string[] => [
  'const kernels: Executable["kernels"] = await Promise.all(',
  "  kernelFacts.map(async (k) => ({",
  "    ...k,",
  `    text: await read(\`./${name}.\${k.name}.wat\`),`,
  `    code: new Uint8Array(await readFile(new URL(\`./${name}.\${k.name}.wasm\`, import.meta.url))),`,
  "  })),",
  ");",
];
/** The same from one file, and another where they are compiled. */
const cudaKernels = ({ schedule: { name }, cubin }: BindingSource): readonly string[] => [
  `const text = await read("./${name}.cu");`,
  ...(cubin ? [`const code = new Uint8Array(await readFile(new URL("./${name}.cubin", import.meta.url)));`] : []),
  `const kernels: Executable["kernels"] = kernelFacts.map((k) => ({ ...k, text${cubin ? ", code" : ""} }));`,
];

const kernelLines = { wgsl: wgslKernels, wasm: wasmKernels, cuda: cudaKernels } as const;
/** Where kernels of a dialect run. */
const backends = { wgsl: "webgpu", wasm: "cpu", cuda: "cuda" } as const;

// --- Ports as a tree -------------------------------------------------------------------------------------------------

/** `p.w1`, `p.w2` are a record `p`; parts named 0, 1, … are a tuple; a sole port without a name is a leaf. */
type Tree =
  | { readonly kind: "leaf"; readonly port: Port }
  | { readonly kind: "group"; readonly parts: readonly (readonly [name: string, tree: Tree])[] };
const group = (parts: readonly (readonly [string, Tree])[]): Tree => ({ kind: "group", parts });

function tree(ports: readonly Port[]): Tree {
  const at = (own: readonly { readonly path: readonly string[]; readonly port: Port }[]): Tree => {
    const sole = own.find((p) => p.path.length === 0);
    if (sole) return { kind: "leaf", port: sole.port };
    const names = [...new Set(own.map((p) => p.path[0]!))];
    return group(
      names.map((name) => [
        name,
        at(own.filter((p) => p.path[0] === name).map((p) => ({ path: p.path.slice(1), port: p.port }))),
      ]),
    );
  };
  return at(ports.map((port) => ({ path: port.path === "" ? [] : port.path.split("."), port })));
}

const isTuple = (parts: readonly (readonly [string, Tree])[]): boolean =>
  parts.length > 0 && parts.every(([name], i) => name === String(i));

// --- Writing ---------------------------------------------------------------------------------------------------------

const ARRAYS: Readonly<Record<DType, string>> = {
  f32: "Float32Array",
  f16: "Float32Array",
  bf16: "Float32Array",
  i32: "Int32Array",
  u32: "Uint32Array",
  bool: "Uint8Array",
};

function writeType(w: CodeBlockWriter, t: Tree): void {
  if (t.kind === "leaf") {
    w.write(ARRAYS[t.port.dtype]);
    return;
  }
  const tuple = isTuple(t.parts);
  const body = (): void => {
    for (const [name, part] of t.parts) {
      if (part.kind === "leaf") w.writeLine(`/** ${describe(part.port)} */`);
      w.write(tuple ? "" : `readonly ${key(name)}: `);
      writeType(w, part);
      w.write(tuple ? "," : ";").newLine();
    }
  };
  if (tuple) {
    w.write("readonly [").newLine();
    w.indent(body);
    w.write("]");
  } else w.inlineBlock(body);
}

/** `p.w1` → `inputs.p.w1`; a part of a tuple is `inputs.p[0]`. */
function accesses(t: Tree, access: string, path: readonly string[] = []): readonly (readonly [string, string])[] {
  if (t.kind === "leaf") return [[path.join("."), access]];
  const tuple = isTuple(t.parts);
  return t.parts.flatMap(([name, part]) =>
    accesses(part, tuple ? `${access}[${name}]` : `${access}.${name}`, [...path, name]),
  );
}

/** The expression that reads all results into their shape. */
function writeResult(w: CodeBlockWriter, t: Tree, path: readonly string[] = []): void {
  if (t.kind === "leaf") {
    w.write(`(await read(${JSON.stringify(path.join("."))})) as ${ARRAYS[t.port.dtype]}`);
    return;
  }
  const tuple = isTuple(t.parts);
  const body = (): void => {
    for (const [name, part] of t.parts) {
      w.write(tuple ? "" : `${key(name)}: `);
      writeResult(w, part, [...path, name]);
      w.write(",").newLine();
    }
  };
  if (tuple) {
    w.write("[").newLine();
    w.indent(body);
    w.write("]");
  } else w.inlineBlock(body);
}

/** `f32[B, S] = f32[1, 256], 256 numbers, split P(_, sp)`. */
function describe(p: Port): string {
  const written = `${p.dtype}[${p.written.join(", ")}]`;
  const sizes = `${p.dtype}[${p.shape.join(", ")}]`;
  const count = p.shape.reduce((n, size) => n * size, 1);
  const spec = p.spec.map((e) => (e.axes.length === 0 ? "_" : layoutText(e))).join(", ");
  if (p.shape.length === 0) return `${p.dtype}, one number`;
  return `${written === sizes ? sizes : `${written} = ${sizes}`}, ${count} numbers; on the mesh P(${spec})`;
}
const layoutText = (e: Port["spec"][number]): string => {
  const axes = e.axes.length === 1 ? e.axes[0]! : `(${e.axes.join(", ")})`;
  return e.layout === "contiguous" ? axes : `${e.layout}(${axes})`;
};

const meshText = (s: Schedule): string =>
  `${s.mesh.name}(${s.mesh.axes.map((a) => `${a.name}: ${a.size}`).join(", ")})`;
const key = (name: string): string => (/^[A-Za-z_]\w*$/.test(name) ? name : JSON.stringify(name));

const RESERVED = new Set(
  "break case catch class const continue debugger default delete do else enum export extends false finally for function if import in instanceof new null return super switch this throw true try typeof var void while with yield let static await async kernels".split(
    " ",
  ),
);
/** `ring_sum` → `RingSum`. */
const pascal = (name: string): string =>
  name
    .split("_")
    .filter((word) => word !== "")
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join("");
/** A name of Gyre as a name of TypeScript. */
const identifier = (name: string): string => (RESERVED.has(name) ? `${name}_` : name);
