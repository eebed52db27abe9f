/**
 * Runs one edge function in a process of its own with what a user worker of the Supabase edge runtime has, and no
 * more, so that nothing works here that would fail there.
 *
 * Arguments: the function's entry point (file URL) and a marker. Once the function serves, the line
 * "<marker> <port>" goes to standard output. Everything the program itself needs is taken before the function is
 * imported; afterwards `Deno` and the globals are the reduced ones.
 *
 * Not imitated: limits of CPU time and wall clock, the read-only bundle, `/s3`, `Supabase.ai`.
 */
const real = Deno;
const [entryPoint, marker] = real.args;
const { PermissionDenied } = real.errors;

/** True until the function's module has been evaluated: synchronous file access is allowed only then. */
let initialising = true;
/** Work the function asked to be kept alive for. */
const background = new Set<Promise<unknown>>();
const servers: { shutdown(): Promise<void> }[] = [];

/** What `Deno.serve` claims to listen on; the real port is the host's business. */
const PRETENDED = { hostname: "0.0.0.0", port: 9999 };

type Handler = (request: Request, info: unknown) => Response | Promise<Response>;
interface ServeOptions {
  handler?: Handler;
  onListen?: (address: { hostname: string; port: number }) => void;
  onError?: (error: unknown) => Response | Promise<Response>;
}

function report(port: number): void {
  real.stdout.writeSync(new TextEncoder().encode(`\n${marker} ${port}\n`));
}

function serve(first: Handler | ServeOptions, second?: Handler) {
  const options: ServeOptions = typeof first === "object" ? first : {};
  const handler = typeof first === "function" ? first : second ?? options.handler;
  if (typeof handler !== "function") throw new TypeError("A handler function must be provided.");
  const remoteAddr = { ...PRETENDED, transport: "tcp" };
  const server = real.serve({
    hostname: "127.0.0.1",
    port: 0,
    onListen: ({ port }) => {
      report(port);
      options.onListen?.({ ...PRETENDED });
    },
    onError: options.onError ?? ((error) => {
      console.error(error);
      return new Response("Internal Server Error", { status: 500 });
    }),
  }, (request) => handler(request, { remoteAddr }));
  servers.push(server);
  return { finished: server.finished, shutdown: () => server.shutdown(), ref() {}, unref() {} };
}

/** The predecessor of `serve`; only plain TCP is a way in. */
function listen(options: { transport?: string } = {}) {
  if ((options.transport ?? "tcp") !== "tcp") throw new Error("Unsupported transport");
  const listener = real.listen({ hostname: "127.0.0.1", port: 0 });
  report((listener.addr as Deno.NetAddr).port);
  return listener;
}

class Command {
  static readonly #refusal = "Spawning subprocesses is not allowed on Supabase Edge Runtime.";
  constructor(readonly command: string, readonly options?: unknown) {}
  output() {
    return Promise.reject(new Error(Command.#refusal));
  }
  outputSync() {
    throw new Error(Command.#refusal);
  }
  spawn() {
    throw new Error(Command.#refusal);
  }
}

class PermissionStatus extends EventTarget {
  readonly state = "granted";
  readonly partial = false;
  onchange = null;
}
class Permissions {
  query = () => Promise.resolve(new PermissionStatus());
  revoke = () => Promise.resolve(new PermissionStatus());
  request = () => Promise.resolve(new PermissionStatus());
  querySync = () => new PermissionStatus();
  revokeSync = () => new PermissionStatus();
  requestSync = () => new PermissionStatus();
}

/** Standard streams lead nowhere. */
const nowhere = () => ({
  read: () => Promise.resolve(null),
  readSync: () => null,
  write: (bytes: Uint8Array) => Promise.resolve(bytes.byteLength),
  writeSync: (bytes: Uint8Array) => bytes.byteLength,
  close() {},
  isTerminal: () => false,
  setRaw() {},
  readable: new ReadableStream({ start: (controller) => controller.close() }),
  writable: new WritableStream(),
});

const words = (text: string) => text.split(/\s+/).filter(Boolean);

const REAL = words(`
  connect connectTls startTls resolveDns createHttpClient upgradeWebSocket serveHttp
  cwd open create stat lstat realPath realPathSync readFile readTextFile writeFile writeTextFile mkdir makeTempDir
  makeTempFile readDir remove
  build pid memoryUsage errors refTimer unrefTimer
`);
const ONLY_WHILE_INITIALISING = words(`
  readFileSync readTextFileSync writeFileSync writeTextFileSync statSync lstatSync mkdirSync makeTempDirSync
  makeTempFileSync readDirSync removeSync
`);
const DENIED = words(`
  chmod chmodSync chown chownSync chdir copyFile copyFileSync link linkSync readLink readLinkSync rename renameSync
  symlink symlinkSync truncate truncateSync utime utimeSync createSync openSync FsFile
`);
/** Gone from deno_fs, yet still named by the edge runtime. */
const UNDEFINED = words(`
  File seek seekSync fstat fstatSync fsync fsyncSync fdatasync fdatasyncSync ftruncate ftruncateSync futime futimeSync
`);

function reducedDeno(): Record<string, unknown> {
  const from = real as unknown as Record<string, (...args: unknown[]) => unknown>;
  const reduced: Record<string, unknown> = {};
  for (const name of REAL) reduced[name] = from[name];
  for (const name of ONLY_WHILE_INITIALISING) {
    reduced[name] = (...args: unknown[]) => {
      if (initialising) return from[name](...args);
      throw new PermissionDenied(`Deno.${name} is blocklisted on the current context`);
    };
  }
  for (const name of DENIED) {
    reduced[name] = () => {
      throw new PermissionDenied(`Deno.${name} is blocklisted`);
    };
  }
  for (const name of UNDEFINED) reduced[name] = undefined;
  const started = Date.now();
  return Object.assign(reduced, {
    serve,
    listen,
    Command,
    Permissions,
    PermissionStatus,
    permissions: new Permissions(),
    args: [],
    env: {
      get: (name: string) => real.env.get(name),
      set: (name: string, value: string) => real.env.set(name, value),
      has: (name: string) => real.env.has(name),
      delete: (name: string) => real.env.delete(name),
      toObject: () => real.env.toObject(),
    },
    mainModule: entryPoint,
    version: {
      deno: `supabase-edge-runtime-local (compatible with Deno v${real.version.deno})`,
      v8: real.version.v8,
      typescript: real.version.typescript,
    },
    stdin: nowhere(),
    stdout: nowhere(),
    stderr: nowhere(),
    isatty: () => false,
    exit: () => {},
    kill: () => {},
    addSignalListener: () => {},
    removeSignalListener: () => {},
    gid: () => 1000,
    uid: () => 1000,
    hostname: () => "localhost",
    loadavg: () => [0, 0, 0],
    osUptime: () => Math.floor((Date.now() - started) / 1000),
    osRelease: () => "0.0.0-00000000-generic",
    systemMemoryInfo: () => ({ total: 0, free: 0, available: 0, buffers: 0, cached: 0, swapTotal: 0, swapFree: 0 }),
    consoleSize: () => ({ columns: 80, rows: 24 }),
    networkInterfaces: () => [{
      family: "IPv4",
      name: "lo",
      address: "127.0.0.1",
      netmask: "255.0.0.0",
      scopeid: null,
      cidr: "127.0.0.1/8",
      mac: "00:00:00:00:00:00",
    }],
    execPath: () => "/bin/edge-runtime",
  });
}

/** Globals of the edge runtime beside those of the language. */
const WEB = words(`
  console caches clearInterval clearTimeout setInterval setTimeout queueMicrotask Request Response Headers fetch atob
  btoa TextDecoder TextEncoder TextDecoderStream TextEncoderStream URL URLPattern URLSearchParams CryptoKey crypto
  Crypto SubtleCrypto ByteLengthQueuingStrategy CountQueuingStrategy ReadableStream ReadableStreamDefaultReader
  ReadableByteStreamController ReadableStreamBYOBReader ReadableStreamBYOBRequest ReadableStreamDefaultController
  TransformStream TransformStreamDefaultController WritableStream WritableStreamDefaultWriter
  WritableStreamDefaultController CompressionStream DecompressionStream CloseEvent CustomEvent ErrorEvent Event
  EventTarget MessageEvent PromiseRejectionEvent ProgressEvent reportError DOMException Blob File FileReader FormData
  AbortController AbortSignal ImageData ImageBitmap createImageBitmap WebSocket Performance PerformanceEntry
  PerformanceMark PerformanceMeasure performance MessagePort MessageChannel structuredClone process WebAssembly Window
  Navigator navigator self onerror onload onbeforeunload onunload onunhandledrejection
`);
const LANGUAGE = words(`
  Object Function Array Number parseFloat parseInt Infinity NaN undefined Boolean String Symbol Date Promise RegExp
  Error AggregateError EvalError RangeError ReferenceError SyntaxError TypeError URIError globalThis JSON Math Intl
  ArrayBuffer Atomics Uint8Array Int8Array Uint16Array Int16Array Uint32Array Int32Array Float16Array Float32Array
  Float64Array Uint8ClampedArray BigUint64Array BigInt64Array DataView Map BigInt Set Iterator WeakMap WeakSet WeakRef
  Proxy Reflect FinalizationRegistry decodeURI decodeURIComponent encodeURI encodeURIComponent escape unescape eval
  isFinite isNaN
`);

function reduceGlobals(): void {
  const keep = new Set([...WEB, ...LANGUAGE]);
  const define = (name: string, value: unknown) =>
    Object.defineProperty(globalThis, name, { value, writable: false, enumerable: false, configurable: true });
  for (const name of Object.getOwnPropertyNames(globalThis)) {
    if (!keep.has(name)) delete (globalThis as Record<string, unknown>)[name];
  }
  define("Deno", reducedDeno());
  define("EdgeRuntime", { waitUntil });
  define("Supabase", {});
  define("SUPABASE_VERSION", "local");
  define("DENO_VERSION", real.version.deno);
  define("window", globalThis);
  define("navigator", Object.create(Navigator.prototype, {
    userAgent: { value: `Deno/${real.version.deno} (variant; SupabaseEdgeRuntime/local)`, enumerable: true },
    hardwareConcurrency: { value: 1, enumerable: true },
    language: { value: "en", enumerable: true },
    languages: { value: ["en"], enumerable: true },
  }));
  define("SharedArrayBuffer", ArrayBuffer);
  const Memory = WebAssembly.Memory;
  WebAssembly.Memory = new Proxy(Memory, {
    construct(target, [descriptor]) {
      if (descriptor?.shared === true) throw new TypeError("Creating a shared memory is not supported");
      return new target(descriptor);
    },
  });
}

function waitUntil(work: Promise<unknown>): Promise<unknown> {
  const kept = Promise.resolve(work).catch((error) => console.error(error)).finally(() => background.delete(kept));
  background.add(kept);
  return work;
}

/** The stack stops this worker: finish what was begun, but not for ever. */
async function stop(): Promise<never> {
  globalThis.dispatchEvent(new CustomEvent("beforeunload", { cancelable: true, detail: { reason: "termination" } }));
  const deadline = new Promise((resolve) => setTimeout(resolve, 3000));
  const drained = Promise.allSettled(servers.map((server) => server.shutdown()))
    .then(() => Promise.allSettled([...background]));
  await Promise.race([drained, deadline]);
  real.exit(0);
}

real.addSignalListener("SIGTERM", stop);
// Deno reads which authorities to trust (DENO_CERT, DENO_TLS_CA_STORE) when the first client is made, and keeps them.
real.createHttpClient({}).close();
// What the process needed to start is none of the function's environment.
for (const name of Object.keys(real.env.toObject())) {
  if (name.startsWith("DENO_") || name === "NO_COLOR") real.env.delete(name);
}
reduceGlobals();

const module = await import(entryPoint);
initialising = false;
if (servers.length === 0 && typeof module.default?.fetch === "function") {
  serve((request) => module.default.fetch(request));
}
