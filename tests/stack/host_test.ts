/** The function host gives a function what a user worker of the edge runtime has, and no more. */
import assert from "node:assert/strict";
import { startStack } from "../lib/stack.ts";

const project = new URL("./fixture", import.meta.url).pathname;
const words = (text: string) => text.split(/\s+/).filter(Boolean);

/** The `Deno` object of a user worker, from the edge runtime's own sources. */
const NAMES = {
  real: words(`
    connect connectTls startTls resolveDns createHttpClient upgradeWebSocket serve serveHttp listen
    cwd open create stat lstat realPath realPathSync readFile readTextFile writeFile writeTextFile mkdir makeTempDir
    makeTempFile readDir remove
    build env pid mainModule version memoryUsage errors refTimer unrefTimer
  `),
  onlyWhileInitialising: words(`
    readFileSync readTextFileSync writeFileSync writeTextFileSync statSync lstatSync mkdirSync makeTempDirSync
    makeTempFileSync readDirSync removeSync
  `),
  denied: words(`
    chmod chmodSync chown chownSync chdir copyFile copyFileSync link linkSync readLink readLinkSync rename renameSync
    symlink symlinkSync truncate truncateSync utime utimeSync createSync openSync FsFile
  `),
  undefined: words(`
    File seek seekSync fstat fstatSync fsync fsyncSync fdatasync fdatasyncSync ftruncate ftruncateSync futime futimeSync
  `),
  constants: words(`
    gid uid hostname loadavg osUptime osRelease systemMemoryInfo consoleSize networkInterfaces execPath isatty args
  `),
  nowhere: words("stdin stdout stderr"),
  mocked: words("permissions Permissions PermissionStatus exit kill addSignalListener removeSignalListener Command"),
};
const ABSENT_GLOBALS = words(`
  Worker localStorage sessionStorage Storage alert confirm prompt location Location close closed name EventSource
  BroadcastChannel Cache CacheStorage GPU bootstrap __bootstrap
`);
const PRESENT_GLOBALS = words(`
  fetch Request Response Headers ReadableStream WritableStream TransformStream crypto WebSocket setTimeout Blob FormData
  MessageChannel CompressionStream caches performance structuredClone WebAssembly Window navigator process EdgeRuntime
  Supabase queueMicrotask TextEncoder URL URLPattern AbortController Deno self window
`);

Deno.test("a function has what an edge-runtime user worker has", async (t) => {
  await using stack = await startStack({ project, dtma: false });
  const asked = [...NAMES.onlyWhileInitialising, ...NAMES.denied];
  const reply = await fetch(stack.ready.functions.probe, { method: "POST", body: JSON.stringify(asked) });
  assert.equal(reply.status, 200);
  const probe = await reply.json();

  await t.step("the names on Deno are exactly those", () => {
    assert.deepEqual(Object.keys(probe.kinds).sort(), Object.values(NAMES).flat().sort());
    for (const name of NAMES.undefined) assert.equal(probe.kinds[name], "undefined", name);
    for (const name of [...asked, "serve", "connect"]) assert.equal(probe.kinds[name], "function", name);
  });

  await t.step("synchronous files work while the module loads, and never after", () => {
    assert.equal(probe.whileInitialising, "ok");
    for (const name of NAMES.onlyWhileInitialising) {
      assert.match(probe.calls[name], /^PermissionDenied: .* blocklisted on the current context$/, name);
    }
  });

  await t.step("the denied names refuse", () => {
    for (const name of NAMES.denied) assert.match(probe.calls[name], /^PermissionDenied: .* is blocklisted$/, name);
  });

  await t.step("globals are the edge runtime's", () => {
    for (const name of ABSENT_GLOBALS) assert.equal(probe.globals.includes(name), false, name);
    for (const name of PRESENT_GLOBALS) assert.equal(probe.globals.includes(name), true, name);
  });

  await t.step("no shared memory, no processes, mocked permissions", () => {
    assert.equal(probe.shared, true);
    assert.match(probe.sharedMemory, /shared memory is not supported/);
    assert.equal(probe.plainMemory, "ok");
    assert.match(probe.spawn, /not allowed/);
    assert.equal(probe.granted, "granted");
    assert.equal(probe.exit, "ok");
  });

  await t.step("files: the functions may be read, /tmp written, nothing else", () => {
    assert.notEqual(probe.readOutside, "ok");
    assert.notEqual(probe.writeProject, "ok");
    assert.notEqual(probe.readDotEnv, "ok");
    assert.equal(probe.writeTemporary, "ok");
    assert.equal(probe.removeTemporary, "ok");
    assert.equal(probe.dynamicImport, "ok");
  });

  await t.step("Deno.serve pretends to listen where the edge runtime does", () => {
    assert.deepEqual(probe.info, { remoteAddr: { hostname: "0.0.0.0", port: 9999, transport: "tcp" } });
  });
});
