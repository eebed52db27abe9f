import { useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { Box, ExternalLink, GitBranch } from "lucide-react";
import type { ReactNode } from "react";
import { catalogQuery } from "@/api/catalog.ts";
import { Empty } from "@/components/empty.tsx";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { Page } from "@/components/page.tsx";
import { Button } from "@/components/ui/button.tsx";
import { Card, Skeleton } from "@/components/ui/card.tsx";
import { Input, Select } from "@/components/ui/field.tsx";
import { type CatalogEntry, isMeant, needsOf, takesAnyImage, transportInWords } from "@/lib/catalog.ts";

/** What else there is to choose by. */
const NEEDS = { "": "Whatever it needs", nothing: "Needs no key or setting" } as const;

export function MarketplacePage() {
  const { q = "", needs, toolbox } = useSearch({ from: "/signed-in/marketplace" });
  const navigate = useNavigate();
  const catalog = useQuery(catalogQuery());
  const change = (search: { q?: string; needs?: "nothing" | undefined }) =>
    void navigate({
      to: "/marketplace",
      replace: true,
      search: (before: object) => ({ ...before, ...search }),
    });
  const all = catalog.data ?? [];
  const any = all.find(takesAnyImage);
  const found = all.filter((entry) =>
    !takesAnyImage(entry) && isMeant(entry, q) && (needs !== "nothing" || !hasRequired(entry))
  );
  return (
    <Page title="Marketplace">
      <div className="flex flex-wrap gap-2">
        <Input
          type="search"
          aria-label="Search the catalog"
          placeholder="Search by name, publisher or what it can do"
          className="h-10 min-w-0 flex-1 basis-64"
          value={q}
          onChange={(event) => change({ q: event.target.value === "" ? undefined : event.target.value })}
        />
        <Select
          aria-label="What it needs"
          className="h-10 w-auto"
          value={needs ?? ""}
          onChange={(event) => change({ needs: event.target.value === "nothing" ? "nothing" : undefined })}
        >
          {Object.entries(NEEDS).map(([value, label]) => <option key={value} value={value}>{label}</option>)}
        </Select>
      </div>
      {catalog.isError && (
        <ErrorPanel
          error={catalog.error}
          title="The catalog could not be read"
          retry={() => void catalog.refetch()}
        />
      )}
      {any !== undefined && (
        <div className="grid gap-3 sm:grid-cols-2">
          <Own
            of={any}
            kind="image"
            toolbox={toolbox}
            icon={<Box aria-hidden className="size-4 shrink-0" />}
            title="Any image"
            text="An MCP server or another program, from any public registry."
          />
          <Own
            of={any}
            kind="git"
            toolbox={toolbox}
            icon={<GitBranch aria-hidden className="size-4 shrink-0" />}
            title="Git repository"
            text="Built on your machine from the Dockerfile in a public repository."
          />
        </div>
      )}
      {catalog.isPending && (
        <div className="grid gap-3 sm:grid-cols-2 lg:grid-cols-3" aria-label="Loading the catalog">
          {[0, 1, 2, 3, 4, 5].map((each) => <Skeleton key={each} className="h-36 w-full" />)}
        </div>
      )}
      {catalog.isSuccess && found.length === 0 && (
        <Empty
          title={all.length === 0 ? "The catalog is empty" : "Nothing in the catalog is like this"}
          action={q !== "" || needs !== undefined
            ? <Button onClick={() => change({ q: undefined, needs: undefined })}>Show everything</Button>
            : undefined}
        >
          What is not in the catalog runs as well: name its image, or the repository that it is built from.
        </Empty>
      )}
      <ul className="grid gap-3 sm:grid-cols-2 lg:grid-cols-3">
        {found.map((entry) => <Entry key={entry.id} of={entry} toolbox={toolbox} />)}
      </ul>
    </Page>
  );
}

function hasRequired(entry: CatalogEntry): boolean {
  return [entry.required_config_schema, entry.required_secrets_schema].some((schema) =>
    (schema.required ?? []).length > 0
  );
}

function Entry({ of: entry, toolbox }: { of: CatalogEntry; toolbox: string | undefined }) {
  return (
    <li className="grid content-between gap-3 rounded-md border border-line bg-surface p-3 text-[13px]">
      <div className="grid gap-1">
        <div className="flex items-baseline justify-between gap-2">
          <h2 className="min-w-0 text-sm font-semibold break-words">{entry.name}</h2>
          {entry.provider && <span className="text-right text-xs break-words text-ink-3">{entry.provider}</span>}
        </div>
        <p className="line-clamp-3 break-words text-ink-2">{entry.description}</p>
        {entry.status !== "available" && <p className="text-xs text-warn">{entry.status}</p>}
        <p className="text-xs text-ink-3">
          {[transportInWords(entry.default_spec.transport), ...needsOf(entry)].join(" · ")}
        </p>
      </div>
      <div className="flex items-center justify-between gap-2">
        <Button asChild variant="primary" size="sm">
          <Link
            to="/marketplace/$catalogId/deploy"
            params={{ catalogId: entry.id }}
            search={{ toolbox }}
            aria-label={`Deploy ${entry.name}`}
          >
            Deploy
          </Link>
        </Button>
        {entry.documentation_url?.startsWith("https://") && (
          <a
            href={entry.documentation_url}
            target="_blank"
            rel="noreferrer noopener"
            className="inline-flex items-center gap-1 text-xs text-ink-3 hover:text-ink"
          >
            Documentation <span className="sr-only">of {entry.name}</span>
            <ExternalLink aria-hidden className="size-3" />
          </a>
        )}
      </div>
    </li>
  );
}

interface OwnProps {
  of: CatalogEntry;
  kind: "image" | "git";
  toolbox: string | undefined;
  icon: ReactNode;
  title: string;
  text: string;
}

function Own({ of: entry, kind, toolbox, icon, title, text }: OwnProps) {
  return (
    <Card className="relative flex items-center gap-3 p-3 text-[13px] hover:bg-muted/50">
      {icon}
      <div className="min-w-0">
        <Link
          to="/marketplace/$catalogId/deploy"
          params={{ catalogId: entry.id }}
          search={{ toolbox, source: kind === "git" ? "git" : undefined }}
          className="text-sm font-semibold after:absolute after:inset-0"
        >
          {title}
        </Link>
        <p className="text-ink-2">{text}</p>
      </div>
    </Card>
  );
}
