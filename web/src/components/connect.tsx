import { useMutation, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Fragment, useState } from "react";
import { type Access, accessQuery, type Host } from "@/api/access.ts";
import { answer, api } from "@/api/client.ts";
import { Age } from "@/components/age.tsx";
import { Copy, Snippet } from "@/components/copy.tsx";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { Button } from "@/components/ui/button.tsx";
import { Card, Section } from "@/components/ui/card.tsx";
import { Field, Input } from "@/components/ui/field.tsx";
import { clientName, hostName, isHostLink, kindInWords, NO_TOKEN } from "@/lib/hosts.ts";
import { BESIDE, LIVE } from "@/lib/polling.ts";
import { fromServer } from "@/lib/server-time.ts";
import { clock } from "@/lib/state.ts";
import { useNow } from "@/lib/use-now.ts";
import { usePolling } from "@/lib/use-polling.ts";

interface Props {
  toolboxId: string;
  /** The server; null for all servers of the toolbox by one URL. */
  instanceId: string | null;
  url: string;
  hosts: Host[];
  /** Why no client can come in now, in a sentence. */
  problem: string | null;
}

/** The heart: the URL, a way in, and whether somebody came in. */
export function Connect({ toolboxId, instanceId, url, hosts, problem }: Props) {
  const [made, setMade] = useState<Made | null>(null);
  const [chosen, setChosen] = useState<Way>("oauth");
  const signsIn = hosts.some(({ auth }) => auth === "oauth");
  const way = signsIn ? chosen : "token";
  const shown = way === "token" && made !== null ? made.hosts : hosts.filter(({ auth }) => auth === way);
  return (
    <div className="grid gap-6">
      <Section title={instanceId === null ? "One URL for all servers" : "The URL of this server"}>
        <div className="flex items-center gap-3 rounded-md border border-line bg-surface p-4">
          <code className="min-w-0 flex-1 font-mono text-base font-medium break-words sm:text-lg">
            {/* It breaks between its parts, where it must. */}
            {url.split(/(?<=\/)(?!\/)/).map((part) => (
              <Fragment key={part}>
                {part}
                <wbr />
              </Fragment>
            ))}
          </code>
          <Copy
            text={url}
            label="Copy"
            what="the URL"
            className="shrink-0 rounded-md border border-line-strong/50 px-3 py-1.5 font-sans"
          />
        </div>
      </Section>
      {signsIn && (
        <div role="group" aria-label="How a client comes in" className="grid gap-2 sm:grid-cols-2">
          {WAYS.map(([each, title, text]) => (
            <button
              key={each}
              type="button"
              aria-pressed={way === each}
              onClick={() => setChosen(each)}
              className="flex flex-col items-start rounded-md border border-line-strong/50 bg-surface p-3 text-left text-[13px] hover:bg-muted/50 aria-pressed:border-accent aria-pressed:bg-accent-soft"
            >
              <span className="block font-medium">{title}</span>
              <span className="text-ink-2">{text}</span>
            </button>
          ))}
        </div>
      )}
      {way === "token" && <Token toolboxId={toolboxId} instanceId={instanceId} made={made} onMade={setMade} />}
      <Waiting toolboxId={toolboxId} instanceId={instanceId} way={way} made={made} problem={problem} />
      {shown.length > 0 && <Hosts key={way} hosts={shown} isReady={way === "oauth" || made !== null} />}
    </div>
  );
}

type Way = "oauth" | "token";

const WAYS: [Way, string, string][] = [
  ["oauth", "It signs in", "The client opens this console, and you choose there what it may use. Nothing is copied."],
  ["token", "With a token", "For clients that cannot sign in. Whoever holds the token may come in."],
];

interface Made {
  access: Access;
  /** When, by this browser's clock. */
  at: number;
  token: string;
  hosts: Host[];
}

interface TokenProps {
  toolboxId: string;
  instanceId: string | null;
  made: Made | null;
  onMade: (made: Made) => void;
}

/** Makes a token, which is shown this once and kept nowhere. */
function Token({ toolboxId, instanceId, made, onMade }: TokenProps) {
  const [name, setName] = useState("My client");
  const client = useQueryClient();
  const create = useMutation({
    mutationFn: () =>
      answer(
        api().tools.POST("/{toolboxId}/mcp-access", {
          params: { path: { toolboxId } },
          body: { name: name.trim(), ...(instanceId !== null && { instanceId }) },
        }),
      ),
    // The answer holds the token; the page forgets it with this component.
    gcTime: 0,
    onSuccess: async ({ access, token, hosts }) => {
      if (token) onMade({ access, token, hosts, at: Date.now() });
      await client.invalidateQueries({ queryKey: ["toolboxes", toolboxId, "access"] });
    },
  });
  return (
    <Section title="An access token">
      {made === null
        ? (
          <form
            className="flex flex-wrap items-end gap-2"
            onSubmit={(event) => {
              event.preventDefault();
              create.mutate();
            }}
          >
            <div className="w-64">
              <Field label="For which client">
                {(tied) => (
                  <Input
                    {...tied}
                    required
                    maxLength={255}
                    autoComplete="off"
                    value={name}
                    onChange={(event) => setName(event.target.value)}
                  />
                )}
              </Field>
            </div>
            <Button type="submit" variant="primary" busy={create.isPending && "Making it…"}>Create token</Button>
          </form>
        )
        : (
          <div className="grid gap-2">
            <p className="text-[13px]">
              This is the token “{made.access.name}”. It is shown this once: copy it now, or copy what a host needs
              below, where it is put in.
            </p>
            <Snippet text={made.token} what="the token" />
          </div>
        )}
      {create.isError && <ErrorPanel error={create.error} title="No token was made" />}
      <p className="text-xs text-ink-3">
        {instanceId === null
          ? (
            <>
              It opens every server of the toolbox, also those to come. It is revoked in{" "}
              <Link to="/settings/access" className="underline underline-offset-2 hover:text-ink">your settings</Link>.
            </>
          )
          : (
            <>
              Fewer tools, limits, an end, or another user:{" "}
              <Link
                to="/toolboxes/$toolboxId/tools/$instanceId/sharing"
                params={{ toolboxId, instanceId }}
                className="underline underline-offset-2 hover:text-ink"
              >
                Sharing
              </Link>
            </>
          )}
      </p>
    </Section>
  );
}

/** How long a client is waited for, in milliseconds; who made a token comes with it sooner. */
const WAITED = 5 * 60_000;
const SOON = 2 * 60_000;

/** Whether a client came in: as the last use of the accesses to this server tells, to the minute. */
function Waiting(
  { toolboxId, instanceId, way, made, problem }: {
    toolboxId: string;
    instanceId: string | null;
    way: Way;
    made: Made | null;
    problem: string | null;
  },
) {
  const now = useNow();
  const [opened, setOpened] = useState(Date.now);
  const since = Math.max(opened, way === "token" ? made?.at ?? 0 : 0);
  const waits = now - since < WAITED;
  const comesSoon = (list: Access[]) =>
    made !== null && Date.now() - Math.max(opened, made.at) < SOON &&
    !list.some((each) => each.id === made.access.id && each.last_used_at);
  const access = usePolling(accessQuery(toolboxId), comesSoon, waits ? LIVE : BESIDE);
  if (access.isError && access.data === undefined) {
    return (
      <ErrorPanel
        error={access.error}
        title="Whether a client came in could not be read"
        retry={() => void access.refetch()}
      />
    );
  }
  // By the URL of the toolbox, an access to one server opens that one.
  const here = (access.data ?? []).filter((each) =>
    !each.instance_id || (instanceId !== null && each.instance_id === instanceId)
  );
  const used = here.filter((each) => each.last_used_at && !each.revoked_at)
    .toSorted((a, b) => (String(a.last_used_at) < String(b.last_used_at) ? 1 : -1));
  const own = made === null ? undefined : used.find((each) => each.id === made.access.id);
  // While it cannot be read, nothing is said of who did not come.
  const missing = problem === null && !access.isError &&
    (way === "token" ? made !== null && own === undefined : !used.some(({ client_id }) => client_id));
  const waiting = missing && waits;
  return (
    <>
      {access.isError && (
        <ErrorPanel
          error={access.error}
          title="What is shown may be old"
          retry={() => void access.refetch()}
        />
      )}
      <div role="status" aria-label="Clients" className="rounded-md border border-line bg-surface p-4 text-[13px]">
        {problem !== null && <p className="font-medium text-warn">{problem}</p>}
        {waiting && (
          <p className="flex items-center gap-2 font-medium text-moving">
            <span aria-hidden className="size-2 animate-pulse rounded-full bg-moving" />
            Waiting for your client…
          </p>
        )}
        {missing && !waits && (
          <div className="flex flex-wrap items-center justify-between gap-2">
            <p>
              No client has come in since {clock(since)}. Add the URL above to your client, and let it connect;{" "}
              {way === "token" ? "it needs the token, too." : "it opens this console for you to say yes."}
            </p>
            <Button
              size="sm"
              onClick={() => {
                setOpened(Date.now());
                void access.refetch();
              }}
            >
              Wait again
            </Button>
          </div>
        )}
        {own !== undefined && (
          <p className="flex items-center gap-2 font-medium text-ok">
            <span aria-hidden className="size-2 rounded-full bg-ok" />
            Connected: {own.last_client ? clientName(own.last_client) : "a client that does not say its name"}
          </p>
        )}
        {access.isError && own === undefined && <p>It is not known now whether a client came in.</p>}
        {problem === null && !missing && !access.isError && own === undefined && used.length === 0 && (
          <p className="text-ink-2">No client has come in yet. Make a token, and put it into your client.</p>
        )}
        {used.some((each) => each.id !== made?.access.id) && (
          <ul className="mt-1 grid gap-1 text-ink-2">
            {used.filter((each) => each.id !== made?.access.id).slice(0, 5).map((each) => (
              <li key={each.id} className="break-words">
                {each.last_client ? clientName(each.last_client) : "A client"} with “{each.name}”, last{" "}
                <Age at={fromServer(each.last_used_at ?? null)} />
              </li>
            ))}
          </ul>
        )}
      </div>
    </>
  );
}

function Hosts({ hosts, isReady }: { hosts: Host[]; isReady: boolean }) {
  const names = [...new Set(hosts.map(({ host }) => host))];
  const [chosen, setChosen] = useState(names[0] ?? "");
  const shown = hosts.filter(({ host }) => host === chosen);
  return (
    <Section title="Your client">
      <div role="group" aria-label="Hosts" className="grid grid-cols-2 gap-2 sm:grid-cols-3 lg:grid-cols-7">
        {names.map((each) => (
          <Button
            key={each}
            className="h-12 leading-tight whitespace-normal aria-pressed:border-accent aria-pressed:bg-accent-soft"
            aria-pressed={each === chosen}
            onClick={() => setChosen(each)}
          >
            {hostName(each)}
          </Button>
        ))}
      </div>
      <Card className="grid gap-3 p-4">
        {!isReady && (
          <p className="text-[13px] text-ink-2">
            Put your token where <code className="font-mono text-xs">{NO_TOKEN}</code>{" "}
            stands, or create one above: it is put in here.
          </p>
        )}
        {shown.map(({ kind, text }) => (
          <div key={`${kind} ${text}`} className="grid gap-1.5">
            <h3 className="text-[13px] font-medium">{kindInWords(kind)}</h3>
            {kind === "link" && isHostLink(text) && isReady
              ? (
                <div>
                  <Button asChild variant="primary">
                    <a href={text} rel="noreferrer">Add to {hostName(chosen)}</a>
                  </Button>
                </div>
              )
              : <Snippet text={pretty(text, kind)} what={`what ${hostName(chosen)} needs`} />}
          </div>
        ))}
      </Card>
    </Section>
  );
}

function pretty(text: string, kind: string): string {
  if (kind !== "file") return text;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    // Codex keeps its settings in TOML.
    return text.trim();
  }
}
