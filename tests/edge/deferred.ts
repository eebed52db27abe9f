// toolbox-tools, telling on standard error of each wasm module that is compiled.
WebAssembly.Module = new Proxy(WebAssembly.Module, {
  construct(target, [bytes]: [BufferSource]) {
    console.error("compiling a module");
    return new target(bytes);
  },
});

await import("../../supabase/functions/toolbox-tools/index.ts");
