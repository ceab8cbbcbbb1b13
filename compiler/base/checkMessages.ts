/** What the checker says: names, types, specs, tiles, sizes. Rows of the table in messages.ts. */
import { asFunction, fieldsElsewhere, namesElsewhere, operandsElsewhere, typesElsewhere } from "./elsewhere.ts";
import { listed, q, type Row, say } from "./say.ts";

type Near = { readonly near?: string };
const didYouMean = (a: Near): string | undefined => a.near && `did you mean ${q(a.near)}?`;
const codeList = (names: readonly string[], last = "and"): string => listed(names.map(q), last);
const plural = (n: number, one: string): string => `${n} ${one}${n === 1 ? "" : "s"}`;
const classWords: Readonly<Record<string, string>> = {
  float: "floating-point numbers",
  int: "integers",
  number: "numbers",
  bool: "truth values (`bool`)",
  any: "arrays",
};
const imported = (name: string, library: string): string => `write \`import { ${name} } from "${library}"\``;
const conversions = (wants: string): string | undefined =>
  wants === "float"
    ? "convert with `cast(x, f32)`"
    : wants === "int"
      ? "convert with `cast(x, i32)`"
      : wants === "bool"
        ? "compare to get a `bool`, as in `x != 0`"
        : wants === "number"
          ? "turn truth values into numbers with `where(c, 1.0, 0.0)` or `cast(c, f32)`"
          : undefined;

export const checkMessages = {
  // --- GY20xx: names and imports -----------------------------------------------------------------------------------
  GY2001: say(
    (a: { name: string; library?: string; dim?: boolean } & Near) => `nothing is called ${q(a.name)} here`,
    (a) =>
      namesElsewhere.get(a.name) ??
      (a.library && imported(a.name, a.library)) ??
      didYouMean(a) ??
      (a.dim
        ? /^[A-Z]/.test(a.name)
          ? `a dimension is declared behind the name of what has it: \`fn f<${a.name}>(…)\``
          : "an axis is one of a mesh that this file declares or imports, or a parameter `a: axis`"
        : undefined),
  ),
  GY2002: say(
    (a: { name: string; path: string; library?: string } & Near) => `"${a.path}" has nothing called ${q(a.name)}`,
    (a) => (a.library && imported(a.name, a.library)) ?? didYouMean(a),
  ),
  GY2003: say(
    (a: { name: string; path: string }) => `${q(a.name)} is not exported by "${a.path}"`,
    "write `export` before its declaration",
  ),
  GY2004: say(
    (a: { path: string; meant?: string }) => `there is no module "${a.path}"`,
    (a) =>
      a.meant === undefined
        ? 'a module is "gyre/NAME" (the standard library) or a path that begins with "./" and ends in ".gyre"'
        : `did you mean "${a.meant}"?`,
  ),
  GY2005: say(
    (a: { path: string }) => `importing "${a.path}" closes a cycle of imports`,
    "move what both modules need into a third one",
  ),
  GY2006: say((a: { name: string }) => `${q(a.name)} is declared twice`, "give one of them another name"),
  GY2007: say(
    (a: { name: string } & Near) => `there is no type ${q(a.name)}`,
    (a) =>
      typesElsewhere.get(a.name) ?? didYouMean(a) ?? "the dtypes are `f32`, `f16`, `bf16`, `i32`, `u32` and `bool`",
  ),
  GY2008: say(
    (a: { name: string; is: string; wants: string; help?: string | undefined }) =>
      `${q(a.name)} is ${a.is}, but ${a.wants} is needed here`,
    (a) => a.help,
  ),
  GY2009: say(
    (a: { name: string; fields: readonly string[] } & Near) => `there is no field ${q(a.name)}`,
    (a) => didYouMean(a) ?? (a.fields.length > 0 ? `the fields are ${codeList(a.fields)}` : undefined),
  ),
  GY2010: say(
    (a: { what: string; help: string }) => a.what,
    (a) => a.help,
  ),
  GY2011: say(
    (a: { name: string } & Near) => `${q(a.name)} is no class of dtypes`,
    (a) => didYouMean(a) ?? "the classes are `float`, `int`, `number`, `bool` and `any`",
  ),
  GY2012: say(
    (a: { name: string }) => `${q(a.name)} is defined by itself`,
    "there is no recursion: calls are put in place while compiling; a loop is a `fold`",
  ),
  GY2013: say(
    "this program is too large: its calls nest too deep, or their bodies make too many operations",
    "use a `fold` for what repeats",
  ),

  // --- GY30xx: types and shapes ------------------------------------------------------------------------------------
  GY3001: say(
    (a: { op: string; a: string; b: string }) =>
      `${q(a.op)} needs operands of one dtype, found ${q(a.a)} and ${q(a.b)}`,
    (a) => `convert one with \`cast(x, ${a.a})\``,
  ),
  GY3002: say(
    (a: { op: string; dtype: string; wants: string }) =>
      `${q(a.op)} takes ${classWords[a.wants] ?? a.wants}, not ${q(a.dtype)}`,
    (a) => conversions(a.wants),
  ),
  GY3003: say(
    (a: { op: string; a: string; b: string; at: number; sizes: readonly string[] }) =>
      `${q(a.op)}: the shapes of ${q(a.a)} and ${q(a.b)} do not go together: ${a.at === 1 ? "their last dimensions are" : `counted from the end, dimension ${a.at} is`} ${a.sizes.map(q).join(" and ")}`,
    "dimensions are aligned at the end; each pair must be equal, or one of them 1 (`x[:, None]` adds one)",
  ),
  GY3004: say((a: { op: string; type: string; wants: string }) => `${q(a.op)} needs ${a.wants}, found ${a.type}`),
  GY3005: say(
    (a: { dim: number; rank: number }) =>
      `there is no dimension ${a.dim} in an array of ${plural(a.rank, "dimension")}`,
    (a) =>
      a.rank > 0
        ? `dimensions are counted from 0 to ${a.rank - 1}, or from -1 back to -${a.rank}`
        : "a scalar has no dimensions",
  ),
  GY3006: say(
    (a: { op: string; what: string; a: string; b: string }) =>
      `${q(a.op)}: ${a.what} is ${q(a.a)} on one side and ${q(a.b)} on the other`,
  ),
  GY3007: say((a: { what: string }) => a.what),
  GY3008: say(
    (a: {
      what: string;
      expected: string;
      found: string;
      where: readonly string[];
      /** What it is found to be has names that are also those of the type, and mean something else there. */
      own: boolean;
      hint: string | undefined;
    }) =>
      `${a.what} should be ${q(a.expected)}, found ${a.found}${a.where.length > 0 ? ` (where ${a.own ? "its own " : ""}${codeList(a.where)})` : ""}`,
    (a) => a.hint,
  ),
  GY3009: say(
    (a: { of: string; wants: number; found: number; help?: string | undefined }) =>
      `${a.of} takes ${plural(a.wants, "argument")}, found ${a.found}`,
    (a) => a.help,
  ),
  GY3010: say(
    (a: { what: string; found: string }) => `${a.what} must be a whole number known at compile time, found ${a.found}`,
    "static are literals, dimensions, `size(x, d)`, `axis_size(a)`, `int` parameters and arithmetic on them",
  ),
  GY3011: say("division by zero"),
  GY3012: say(
    (a: { value: string; dtype: string }) => `${q(a.value)} is not a whole number, so it cannot be ${q(a.dtype)}`,
    "convert the array to floating point with `cast(x, f32)`",
  ),
  GY3013: say(
    (a: { found: string; array: boolean }) => `the condition of an \`if\` must be a scalar \`bool\`, found ${a.found}`,
    (a) => (a.array ? "choose element by element with `where(c, a, b)`" : undefined),
  ),
  GY3014: say(
    (a: { found: string; help?: string | undefined }) => `only a function can be called, found ${a.found}`,
    (a) => a.help,
  ),
  GY3015: say(
    (a: { found: string; field?: string; isFunction?: boolean }) => `this needs a record with fields, found ${a.found}`,
    (a) =>
      a.field === undefined
        ? undefined
        : (fieldsElsewhere.get(a.field) ?? (a.isFunction ? asFunction(a.field) : namesElsewhere.get(a.field))),
  ),
  GY3016: say(
    (a: { wants: number; found: string }) => `this needs a tuple of ${plural(a.wants, "item")}, found ${a.found}`,
  ),
  GY3017: say(
    (a: { found: string; op: string; dtype?: string }) =>
      `${a.op ? `${q(a.op)} needs` : "this needs"} an array${a.dtype ? ` of ${q(a.dtype)}` : ""}, found ${a.found}`,
    (a) => operandsElsewhere.get(a.op),
  ),
  GY3018: say((a: { a: string; b: string }) => `both branches must give the same type, found ${a.a} and ${a.b}`),
  GY3019: say("the type of this value cannot be found from its use", "write it: `zeros(f32[…])`, `full(f32[…], c)`"),
  GY3020: say(
    (a: { type: string; rank: number; found: number }) =>
      `${q(a.type)} has ${plural(a.rank, "dimension")}, found ${plural(a.found, "index entry").replace("entrys", "entries")}`,
  ),
  GY3021: say(
    (a: { name: string; of?: string }) =>
      `${q(a.name)} ${a.of ? `of ${q(a.of)} ` : ""}cannot be found from the arguments`,
    "give it where the function is called, as in `f<4>(x)`, or let an argument's type mention it",
  ),
  GY3022: say(
    (a: { type: string; gives: number; wants: number }) =>
      `a ${q(a.type)} is called with ${plural(a.gives, "argument")}, but this function needs ${a.wants}`,
    "trailing arguments may be left out of a function, not added",
  ),
  GY3023: say(
    (a: { what?: string; name: string; wants: number; found: number }) =>
      `the ${a.what ?? "type"} ${q(a.name)} takes ${plural(a.wants, "argument")} in \`< >\`, found ${a.found}`,
  ),
  GY3024: say(
    (a: { name: string; of: string; params: readonly string[] } & Near) => `${q(a.of)} has no parameter ${q(a.name)}`,
    (a) => didYouMean(a) ?? (a.params.length > 0 ? `it takes ${codeList(a.params)}` : "it takes no arguments"),
  ),
  GY3025: say(
    (a: { name: string; of: string }) =>
      `the parameters of ${a.of} have no names to callers: ${q(a.name)} must stand by position`,
  ),
  GY3026: say((a: { name: string }) => `${q(a.name)} is given twice`),
  GY3027: say(
    (a: { missing: readonly string[]; of: string; help?: string }) =>
      `${q(a.of)} is called without ${codeList(a.missing)}`,
    (a) => a.help,
  ),
  GY3028: say(
    (a: { name: string; dtype: string; wants: string; of: string }) =>
      `${q(a.name)} of ${q(a.of)} must be one of ${q(a.wants)}, found ${q(a.dtype)}`,
  ),
  GY3029: say(
    (a: { name: string; found: string }) =>
      `the constant ${q(a.name)} must be a static number or truth value, found ${a.found}`,
    "what is computed is a `fn` without parameters, or is bound with `let` where it is used",
  ),
  GY3030: say(
    (a: { index: string; size: string; dim: number }) =>
      `index ${a.index} lies outside dimension ${a.dim}, whose size is ${a.size}`,
  ),
  GY3031: say((a: { size: string }) => `this range does not lie within a dimension of size ${a.size}`),
  GY3032: say(
    (a: { found: string }) => `the bounds of a range must be known at compile time, found ${a.found}`,
    "for a start known at run time: `dynamic_slice(x, start, size, dim = d)`",
  ),
  GY3033: say(
    (a: { a: string; b: string; k: readonly string[] }) =>
      `\`@\` sums over the last dimension of ${q(a.a)} and the last but one of ${q(a.b)}: they are ${a.k.map(q).join(" and ")}`,
    "`x.T` swaps the last two dimensions",
  ),
  GY3034: say(
    (a: { what: string }) => `this \`einsum\` cannot be read: ${a.what}`,
    'labels are words with spaces between: `einsum("m k, k n -> m n", a, b)`',
  ),
  GY3035: say(
    (a: { dim: number; size: string; axis: string; name: string }) =>
      `how dimension ${a.dim} of ${a.size} was split over ${q(a.axis)} is not known any more`,
    (a) => `take ${q(a.name)} of an array that still has the dimension as it was split, such as the parameter`,
  ),
  GY3036: say(
    (a: { dim: number; name: string }) => `${q(a.name)}: dimension ${a.dim} is a block of a tile`,
    (a) =>
      a.name === "positions"
        ? "take the positions of the whole array and index them: `positions(x, d)[i]`"
        : `ask the whole array: \`${a.name}(x, d)\``,
  ),
  GY3037: say(
    (a: { what: string; found: string; help?: string }) => `${a.what} is needed here, found ${a.found}`,
    (a) => a.help,
  ),
  GY3038: say(
    (a: { name: string; a: string; b: string }) =>
      `${q(a.name)} needs trees with the same tuples and records, found ${a.a} and ${a.b}`,
  ),
  GY3039: say(
    (a: { name: string }) => `${q(a.name)} of a tree without leaves`,
    "give it what to begin with: `tree_reduce(f, tree, initializer)`",
  ),
  GY3040: say(
    (a: { value: string; dtype: string }) => `${a.value} is none of the numbers of ${q(a.dtype)}`,
    (a) => (a.dtype === "i32" ? "they go from -2147483648 to 2147483647" : "they go from 0 to 4294967295"),
  ),

  // --- GY40xx: meshes, specs, collectives, varying axes ------------------------------------------------------------
  GY4001: say(
    (a: { entries: number; rank: number; type: string }) =>
      `this spec has ${plural(a.entries, "entry").replace("entrys", "entries")}, but ${q(a.type)} has ${plural(a.rank, "dimension")}`,
    "one entry for each dimension; `_` where it is not split",
  ),
  GY4002: say(
    (a: { axis: string; axes: readonly string[] } & Near) => `there is no mesh axis ${q(a.axis)}`,
    (a) => didYouMean(a) ?? (a.axes.length > 0 ? `the axes are ${codeList(a.axes)}` : undefined),
  ),
  GY4003: say(
    (a: { axis: string; of: string }) => `axis ${q(a.axis)} stands twice in ${a.of}`,
    "an axis can split one dimension only",
  ),
  GY4004: say(
    (a: { layout: string } & Near) => `there is no layout ${q(a.layout)}`,
    (a) => didYouMean(a) ?? "the layouts are `striped(a)` and `zigzag(a)`; plain `a` is contiguous",
  ),
  GY4005: say(
    (a: { name: string; meshes: readonly string[] } & Near) => `there is no mesh ${q(a.name)}`,
    (a) =>
      didYouMean(a) ??
      (a.meshes.length === 0 ? `declare one: \`mesh ${a.name}(sp: 4)\`` : `declared here: ${codeList(a.meshes)}`),
  ),
  GY4006: say(
    (a: { names: readonly string[]; axes: readonly string[] }) => {
      const names = a.names.filter((n) => n !== "");
      const many = a.names.length > 1;
      const what = names.length > 0 ? `${many ? "results" : "result"} ${codeList(names)}` : "the result";
      return `${what} ${many ? "differ" : "differs"} between devices along ${codeList(a.axes)}, but ${many ? "their specs leave" : "its spec leaves"} ${codeList(a.axes)} out`;
    },
    (a) => {
      const axes = a.axes.length > 1 ? `(${a.axes.join(", ")})` : `${a.axes[0]}`;
      return `split a dimension over ${q(axes)} in the spec, or combine the devices' values: ${q(`psum(x, ${axes})`)}, ${q(`all_gather(x, ${axes}, dim = d)`)}`;
    },
  ),
  GY4007: say(
    (a: { what: string; spec: string; type: string }) => `${a.what} needs a spec that says where it lives`,
    (a) => `a whole copy on every device is \`${a.type} @ ${a.spec}\``,
  ),
  GY4008: say(
    (a: { found: string }) => `a mesh axis is needed here, found ${a.found}`,
    "an axis of the `shard_map`'s mesh, or an `axis` parameter",
  ),
  GY4009: say(
    (a: { what: string; dim: number; is: string; says: string }) =>
      `dimension ${a.dim} of ${a.what} lies as ${q(a.is)} on the devices, but its spec says ${q(a.says)}`,
    (a) => `write ${q(a.is)} in the spec of the result`,
  ),
  GY4010: say(
    (a: { name: string; axes: readonly string[] }) =>
      `${q(a.name)} over ${codeList(a.axes)} would hang: not all devices take this branch`,
    "run the collective on all devices and choose with `where`",
  ),
  GY4011: say("`ppermute` needs one of `shift` and `pairs`", "`ppermute(x, a, shift = 1)` sends to the next device"),
  GY4012: say(
    (a: { found: string }) =>
      `the shift of \`ppermute\` must be a static number, or one plus a multiple of a fold's step, found ${a.found}`,
  ),
  GY4013: say((a: { what: string }) => a.what),
  GY4014: say(
    "only the parameters and results of a `shard_map` have specs",
    "leave the spec out: a `fn` sees local arrays",
  ),
  GY4015: say((a: { axis: string }) => `the mesh has two axes ${q(a.axis)}`),
  GY4016: say(
    (a: { type: string }) => `a spec belongs to an array, not to ${q(a.type)}`,
    "give each part its own spec",
  ),
  GY4017: say(
    (a: { name: string }) => `a \`shard_map\` cannot have the dtype parameter ${q(a.name)}`,
    "write the dtype: an entry point has one type",
  ),
  GY4018: say((a: { name: string }) => `parameter ${q(a.name)} of a \`shard_map\` cannot have a default`),
  GY4019: say(
    (a: { what: string; type: string }) => `${a.what} of a \`shard_map\` must be arrays, found ${q(a.type)}`,
    "compile-time parameters belong to a `fn`; here use a `const` or a dimension",
  ),
  GY4020: say(
    (a: { axis: string; stated: readonly string[] }) =>
      `this value differs between devices along ${q(a.axis)}, but its type says \`varying {${a.stated.join(", ")}}\``,
    (a) => `write ${q(a.axis)} in the type, or combine the devices' values with a collective`,
  ),

  // --- GY50xx: tiles and fold --------------------------------------------------------------------------------------
  GY5001: say(
    (a: { name: string }) => `${q(a.name)} cannot stand inside \`tiles\`: a tile runs on one device`,
    "move the collective out of the `tiles`",
  ),
  GY5002: say(
    (a: { before: string; after: string; name?: string; help?: string }) =>
      `the carry${a.name ? ` ${q(a.name)}` : ""} of this \`fold\` changes its type from ${a.before} to ${a.after}`,
    (a) => a.help ?? "every step must give what the next one takes",
  ),
  GY5003: say((a: { found: string }) => `a \`fold\` carries arrays, found ${a.found}`),
  GY5004: say((a: { name: string }) => `${q(a.name)} stands twice in this \`into\` pattern`),
  GY5005: say((a: { name: string } & Near) => `${q(a.name)} is no index of these \`tiles\``, didYouMean),
  GY5006: say(
    (a: { patterns: number; found: string }) =>
      `\`into\` has ${plural(a.patterns, "pattern")}, but the body gives ${a.found}`,
    "one pattern for each value of the body's tuple",
  ),
  GY5007: say(
    (a: { missing: readonly string[] }) =>
      `this \`into\` pattern leaves out ${codeList(a.missing)}: tiles would write over each other`,
    "every parallel index stands once in each pattern; a loop that accumulates is a `fold`",
  ),
  GY5008: say(
    "`tiles` cannot stand inside `tiles`",
    "add the index to the outer `tiles`, or loop with `fold j in N by c`",
  ),
  GY5009: say(
    (a: { index: string; type: string }) =>
      `the carry ${q(a.type)} has a block of ${q(a.index)}, which is another one in each step`,
  ),
  GY5010: say(
    (a: { index: string; extent: string; size: string; dim: number; sharded: boolean }) =>
      `${q(a.index)} ranges over ${q(a.extent)}, but dimension ${a.dim} has size ${q(a.size)}`,
    (a) =>
      !a.sharded
        ? `slice first (\`x[0..${a.extent}][${a.index}]\`), or gather with \`pos(${a.index})\``
        : `a device has its part of a split dimension only: let ${q(a.index)} range over ${q(a.size)}`,
  ),
  GY5011: say(
    (a: { found: string }) => `the body of a \`fold … collect\` gives a pair \`(next, collected)\`, found ${a.found}`,
  ),
  GY5012: say((a: { value: number }) => `a block needs at least one element, found ${a.value}`),
  GY5013: say(
    (a: { into: string; shape: string; found: string }) =>
      `to land at ${q(`[${a.into}]`)} the body must give an array of shape ${q(`[${a.shape}]`)}, found ${q(a.found)}`,
    "the value has a dimension for each blocked index and each `:`, in the pattern's order",
  ),

  // --- GY60xx: compile time and dimensions -------------------------------------------------------------------------
  GY6001: say(
    (a: { names: readonly string[] }) =>
      `${a.names.length === 1 ? "the size of" : "the sizes of"} ${codeList(a.names)} ${a.names.length === 1 ? "is" : "are"} needed`,
    (a) => `give \`--dims ${a.names.map((n) => `${n}=…`).join(",")}\`, or inputs that have them`,
  ),
  GY6002: say(
    (a: { mesh: string; names: readonly string[] }) => `mesh ${q(a.mesh)} leaves the size of ${codeList(a.names)} open`,
    (a) => `give \`--mesh ${a.names.map((n) => `${n}=…`).join(",")}\``,
  ),
  GY6003: say(
    (a: {
      dim: string;
      size: number;
      axes: readonly string[];
      unit: number;
      layout: string;
      near: readonly number[];
    }) =>
      `${q(a.dim)} = ${a.size} cannot be split over ${codeList(a.axes)}: ${a.layout === "zigzag" ? `zigzag needs a multiple of ${a.unit}, two pieces for each device` : `it is not a multiple of ${a.unit}`}`,
    (a) => `${listed(a.near.map(String), "or")} would do`,
  ),
  GY6004: say(
    (a: { dim: string; sizes: readonly string[] }) =>
      `${q(a.dim)} is not a whole number${a.sizes.length > 0 ? ` where ${codeList(a.sizes)}` : ""}`,
  ),
  GY6005: say(
    (a: { name: string; names: readonly string[] } & Near) => `there is no entry ${q(a.name)}`,
    (a) => didYouMean(a) ?? (a.names.length > 0 ? `the entries are ${codeList(a.names)}` : undefined),
  ),
  GY6006: say(
    (a: { names: readonly string[] }) => `there are several entries: ${codeList(a.names)}`,
    "choose one with `--entry NAME`",
  ),
  GY6007: say(
    "there is no entry: the file exports no `shard_map`",
    "an entry is `export shard_map NAME(…) -> … on MESH { … }`",
  ),
  GY6008: say(
    (a: { name: string; entry: string; names: readonly string[] } & Near) =>
      `${q(a.entry)} has no dimension ${q(a.name)}`,
    (a) => didYouMean(a) ?? (a.names.length > 0 ? `its dimensions are ${codeList(a.names)}` : "it has none"),
  ),
  GY6009: say(
    (a: { name: string; mesh: string; names: readonly string[] } & Near) =>
      `mesh ${q(a.mesh)} has no axis ${q(a.name)}`,
    (a) => didYouMean(a) ?? `its axes are ${codeList(a.names)}`,
  ),
  GY6010: say((a: { what: string }) => `${a.what} must be a whole number, 1 or more`),
  GY6011: say((a: { dim: string; value: number }) => `the dimension ${q(a.dim)} would be ${a.value}`),

  GY6012: say(
    (a: { name: string; of: string; param: string }) =>
      `${q(a.name)} cannot be called in the place of ${q(a.of)} here: it has no parameter ${q(a.param)}`,
    "leave the argument out, or keep the function that is written",
  ),
  GY6013: say(
    (a: { name: string; wants: readonly string[]; axes: readonly string[] }) =>
      `${q(a.name)} goes over ${a.wants.length} mesh axes (${a.wants.join(", ")}), and here is ${a.axes.length === 1 ? `one, ${q(a.axes[0]!)}` : a.axes.length}`,
    (a) => `give the axis parts, as in \`--split ${a.axes[0] ?? "sp"}=2x4\``,
  ),
  GY6014: say(
    (a: { what: string; dim: string; sizes: readonly string[] }) =>
      `${a.what} would have no elements: ${q(a.dim)} is 0${a.sizes.length > 0 ? ` where ${codeList(a.sizes)}` : ""}`,
    "give larger sizes: what goes in and what comes out has elements",
  ),

  // --- GY80xx: input files and values ------------------------------------------------------------------------------
  GY8001: say(
    (a: { path: string; wants: readonly string[]; found: readonly number[]; sizes: readonly string[] }) =>
      `input ${q(a.path)} has shape ${q(`[${a.found.join(", ")}]`)}, but ${q(`[${a.wants.join(", ")}]`)} is needed${a.sizes.length > 0 ? ` (where ${codeList(a.sizes)})` : ""}`,
  ),
} as const satisfies Record<string, Row<never>>;
