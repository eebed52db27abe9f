/**
 * Simulator of the part of Supabase's Management API that `supabase link`, `secrets set`, `db query --remote` and
 * `functions deploy --use-api` talk to. It stores what it is given and answers as the real one does.
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

/** The project behind the simulator, where there is one. */
export interface Project {
  /** Runs SQL in its database; the rows. */
  query(sql: string): Promise<unknown>;
  /** Its functions take effect, with these secrets. */
  deployed(secrets: Record<string, string>): Promise<void>;
}

export function startManagementApi(projectRef: string, behind?: Project): ManagementApi {
  const uploads: Upload[] = [];
  const secrets: Record<string, string> = {};
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
      case `PUT ${project}/functions`:
        // Several functions are uploaded first and take effect together.
        await behind?.deployed(secrets);
        return Response.json({ functions: await request.json() });
      case `POST ${project}/secrets`:
        for (const { name, value } of await request.json()) secrets[name] = value;
        return new Response(null, { status: 201 });
      case `POST ${project}/database/query`: {
        if (behind === undefined) break;
        return Response.json(await behind.query((await request.json()).query), { status: 201 });
      }
      case `GET ${project}/api-keys`:
        // `link` looks whether there are any.
        return Response.json(["anon", "service_role"].map((name) => ({ name, api_key: "e30.e30.e30" })));
      case `GET ${project}/config/storage`:
      case `GET ${project}/config/database/pooler`:
        // The CLI goes on without these.
        return Response.json({ message: "not simulated" }, { status: 404 });
      case `GET ${project}`:
        return Response.json({
          id: projectRef,
          ref: projectRef,
          name: "simulated",
          region: "eu-central-1",
          status: "ACTIVE_HEALTHY",
          organization_id: "simulated",
          organization_slug: "simulated",
          created_at: "2026-01-01T00:00:00Z",
          database: {
            host: `db.${projectRef}.supabase.co`,
            version: "17.0",
            postgres_engine: "17",
            release_channel: "ga",
          },
        });
    }
    unknown.push(route);
    return Response.json({ message: "unknown to the simulator" }, { status: 404 });
  });
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    uploads,
    unknown,
    stop: () => server.shutdown(),
  };
}
