/**
 * Simulator of the part of Supabase's Management API that `supabase functions deploy --use-api` talks to.
 * It stores what is uploaded and answers as the real one does; it runs nothing.
 */

/** What one deploy uploaded. */
export interface Upload {
  slug: string;
  /** The CLI's words: entrypoint_path, static_patterns, verify_jwt, import_map_path. */
  metadata: Record<string, unknown>;
  /** By path relative to the project root. */
  files: Map<string, Uint8Array>;
}

export interface ManagementApi {
  url: string;
  uploads: Upload[];
  /** Requests it has no answer for: a CLI that wants more than this simulator knows. */
  unknown: string[];
  stop(): Promise<void>;
}

function functionObject(slug: string) {
  const now = Date.now();
  return { id: crypto.randomUUID(), slug, name: slug, status: "ACTIVE", version: 1, created_at: now, updated_at: now };
}

async function readUpload(request: Request, slug: string): Promise<Upload> {
  const upload: Upload = { slug, metadata: {}, files: new Map() };
  // The order of the parts differs between versions of the CLI, so they are told apart by name.
  for (const [name, part] of (await request.formData()).entries()) {
    if (name === "metadata") {
      upload.metadata = JSON.parse(typeof part === "string" ? part : await part.text());
    } else if (name === "file" && part instanceof File) {
      upload.files.set(part.name, new Uint8Array(await part.arrayBuffer()));
    }
  }
  return upload;
}

export function startManagementApi(projectRef: string): ManagementApi {
  const uploads: Upload[] = [];
  const unknown: string[] = [];
  const project = `/v1/projects/${projectRef}`;
  const server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, async (request) => {
    const url = new URL(request.url);
    const route = `${request.method} ${url.pathname}`;
    switch (route) {
      case `POST ${project}/functions/deploy`: {
        const slug = url.searchParams.get("slug") ?? "";
        uploads.push(await readUpload(request, slug));
        return Response.json(functionObject(slug), { status: 201 });
      }
      case `GET ${project}/functions`:
        return Response.json([]);
      case `GET ${project}`:
        return Response.json({
          id: projectRef,
          ref: projectRef,
          name: "simulated",
          region: "eu-central-1",
          status: "ACTIVE_HEALTHY",
        });
      default:
        unknown.push(route);
        return Response.json({ message: "unknown to the simulator" }, { status: 404 });
    }
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    uploads,
    unknown,
    stop: () => server.shutdown(),
  };
}
