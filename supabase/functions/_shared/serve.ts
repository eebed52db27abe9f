// Serves a function whose logic is wasm: load it once, pass the configuration, serve, and start over after a trap.
//
// A Rust panic traps and leaves its instance poisoned. Every poll of a Rust task runs in a microtask, so each instance
// gets a queueMicrotask of its own that catches traps. The request that panicked is answered 500 at once; new requests
// go to a fresh instance of the already compiled module; the old one may finish what it began for a short while.

interface Instance {
  handle(request: Request, number: number): Promise<Response>;
  /** Number of the request whose task is being polled, or was when the instance trapped. */
  current(): number;
  /** Runs ready tasks that a trap left in the queue. */
  nudge(): void;
}

interface Bindings {
  Instance: new (environment: Record<string, string>, wrapper: Wrapper) => Instance;
}

interface Wrapper {
  panicked(number: number, text: string): void;
  waitUntil(work: Promise<unknown>): void;
}

/** What scripts/build-wasm generates around the glue of wasm-bindgen. */
export type Instantiate = (queueMicrotask: (task: () => void) => void) => Bindings;

interface Slot {
  instance: Instance;
  pending: Map<number, { request: Request; answer: (response: Response) => void }>;
  /** Settles when nothing of the instance is waited for any more. */
  retired: Promise<void>;
  retire?: () => void;
}

/** How long a poisoned instance may finish requests that did not panic. */
const DRAIN_MS = 2_000;

export function serve(instantiate: Instantiate): void {
  const environment = Deno.env.toObject();
  const platform = (globalThis as { EdgeRuntime?: { waitUntil(work: Promise<unknown>): void } }).EdgeRuntime;
  let numbers = 0;

  function start(): Slot {
    const { promise, resolve } = Promise.withResolvers<void>();
    const started = { pending: new Map(), retired: promise, retire: resolve } as unknown as Slot;
    const { Instance } = instantiate((task) =>
      queueMicrotask(() => {
        try {
          task();
        } catch (error) {
          trapped(started, error);
        }
      })
    );
    started.instance = new Instance(environment, {
      panicked: (number, text) => console.error(JSON.stringify({ level: "error", what: "panic", number, text })),
      waitUntil: (work) => platform?.waitUntil(Promise.race([work, started.retired])),
    });
    return started;
  }

  function trapped(from: Slot, error: unknown): void {
    console.error(JSON.stringify({ level: "error", what: "trap", text: String(error) }));
    if (from === slot) {
      slot = start();
      setTimeout(() => {
        for (const number of from.pending.keys()) fail(from, number);
        from.retire?.();
      }, DRAIN_MS);
    }
    // Reading a number and queueing an empty task are safe in all but the worst case, and then the drain answers.
    try {
      fail(from, from.instance.current());
      from.instance.nudge();
    } catch { /* the drain answers what is left */ }
  }

  function fail(from: Slot, number: number): void {
    const waiting = from.pending.get(number);
    if (from.pending.delete(number)) waiting?.answer(internalError(waiting.request, environment));
  }

  // Callbacks of promises and timers can trap too; there is no telling whose they were.
  for (const event of ["unhandledrejection", "error"]) {
    globalThis.addEventListener(event, (raised) => {
      const { reason, error } = raised as Event & { reason?: unknown; error?: unknown };
      if ((reason ?? error) instanceof WebAssembly.RuntimeError) {
        raised.preventDefault();
        trapped(slot, reason ?? error);
      }
    });
  }

  let slot = start();

  Deno.serve((request) =>
    new Promise<Response>((answer) => {
      const number = numbers = numbers % 0xffff_ffff + 1;
      const to = slot;
      to.pending.set(number, { request, answer });
      const settled = (response: Response) => {
        if (to.pending.delete(number)) answer(response);
      };
      to.instance.handle(request, number).then(settled, () => fail(to, number));
    })
  );
}

/** The envelope of every error, in a place that cannot ask the wasm for it. */
function internalError(request: Request, environment: Record<string, string>): Response {
  const given = request.headers.get("x-request-id") ?? "";
  const request_id = /^[A-Za-z0-9._-]{1,128}$/.test(given) ? given : crypto.randomUUID();
  const origin = allowedOrigin(environment.TOOLBOX_ALLOWED_ORIGIN, request.headers.get("origin"));
  return Response.json({ error: { code: "internal", message: "Internal error", request_id } }, {
    status: 500,
    headers: {
      ...(origin === undefined ? {} : { "access-control-allow-origin": origin }),
      "access-control-expose-headers": "x-request-id",
      "cache-control": "no-store",
      "x-request-id": request_id,
      ...(origin === "*" ? {} : { vary: "origin" }),
    },
  });
}

/** As cors.rs: any, the only one configured, or the caller's when it is configured. */
function allowedOrigin(configured = "", origin: string | null): string | undefined {
  const origins = configured.split(",").map((one) => one.trim()).filter((one) => one !== "");
  if (origins.length <= 1) return origins[0] ?? "*";
  return origins.find((one) => one === origin);
}
