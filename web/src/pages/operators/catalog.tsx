import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Plus } from "lucide-react";
import { operatorCatalogQuery } from "@/api/operators.ts";
import { Age } from "@/components/age.tsx";
import { Empty } from "@/components/empty.tsx";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { Button } from "@/components/ui/button.tsx";
import { Card, Section, Skeleton } from "@/components/ui/card.tsx";
import { fromServer } from "@/lib/server-time.ts";

/** Every entry of the catalog, also those that users do not see. */
export function CatalogTab() {
  const catalog = useQuery(operatorCatalogQuery());
  const create = (
    <Button asChild variant="primary">
      <Link to="/operators/catalog/$catalogId" params={{ catalogId: "new" }}>
        <Plus aria-hidden /> New entry
      </Link>
    </Button>
  );
  if (catalog.data === undefined) {
    return catalog.isError
      ? <ErrorPanel error={catalog.error} title="The catalog could not be read" retry={() => void catalog.refetch()} />
      : <Skeleton className="h-64 w-full" />;
  }
  const { entries } = catalog.data;
  return (
    <Section title="What can be deployed" aside={entries.length > 0 && create}>
      {catalog.isError && (
        <ErrorPanel
          error={catalog.error}
          title="What is shown may be old"
          retry={() => void catalog.refetch()}
        />
      )}
      {entries.length === 0
        ? (
          <Empty title="The catalog is empty" action={create}>
            An entry is what users find in the marketplace: an image, what it needs, and what they are asked for.
          </Empty>
        )
        : (
          <Card>
            <ul className="divide-y divide-line">
              {entries.map((entry) => (
                <li
                  key={entry.id}
                  className="relative flex flex-wrap items-baseline gap-x-4 gap-y-1 px-3 py-2 text-[13px] sm:grid sm:grid-cols-[minmax(0,1fr)_10rem_7rem_11rem]"
                >
                  <Link
                    to="/operators/catalog/$catalogId"
                    params={{ catalogId: entry.id }}
                    className="w-full font-medium break-words after:absolute after:inset-0 hover:underline"
                  >
                    {entry.name}
                  </Link>
                  <span className={entry.status === "available" ? "text-ink-2" : "text-warn"}>
                    {entry.status}
                    {!entry.is_public && ", hidden"}
                  </span>
                  <span className="text-ink-3">
                    {entry.tools === 0 ? "not deployed" : entry.tools === 1 ? "1 tool" : `${entry.tools} tools`}
                  </span>
                  <span className="text-ink-3">
                    changed <Age at={fromServer(entry.updated_at)} />
                  </span>
                </li>
              ))}
            </ul>
          </Card>
        )}
    </Section>
  );
}
