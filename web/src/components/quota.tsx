import { useQuery, type UseQueryResult } from "@tanstack/react-query";
import { quotaQuery } from "@/api/queries.ts";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { Facts, Skeleton } from "@/components/ui/card.tsx";
import { perMonth } from "@/lib/money.ts";

/** How much one may have, and has. */
export function Quota() {
  const quota = useQuery(quotaQuery());
  if (quota.data === undefined) return quota.isError ? <NotRead quota={quota} /> : <Skeleton className="h-16 w-full" />;
  const { limits, used } = quota.data;
  return (
    <>
      {quota.isError && <NotRead quota={quota} />}
      <Facts
        items={[
          ["Toolboxes", `${used.toolboxes} of ${limits.toolboxes}`],
          ["Bought machines", `${perMonth(used.monthly_usd)} of ${perMonth(limits.monthly_usd)} a month`],
          ["Tools in a toolbox", `up to ${limits.tools}`],
        ]}
      />
    </>
  );
}

/** What to know before another toolbox is made. */
export function QuotaLeft() {
  const quota = useQuery(quotaQuery());
  if (quota.data === undefined) {
    return quota.isError ? <NotRead quota={quota} /> : <Skeleton className="h-5 w-80 max-w-full" />;
  }
  const { limits, used } = quota.data;
  const price = `your bought machines cost ${perMonth(used.monthly_usd)} of ${perMonth(limits.monthly_usd)} a month`;
  const isFull = used.toolboxes >= limits.toolboxes;
  return (
    <>
      {quota.isError && <NotRead quota={quota} />}
      <p className={isFull ? "text-[13px] text-warn" : "text-[13px] text-ink-3"}>
        You have {used.toolboxes} of {limits.toolboxes} toolboxes, and {price}.
        {isFull && " Remove one first, or ask the operator for more."}
      </p>
    </>
  );
}

function NotRead({ quota }: { quota: UseQueryResult }) {
  return (
    <ErrorPanel
      error={quota.error}
      title={quota.data === undefined ? "What you may have could not be read" : "What is shown may be old"}
      retry={() => void quota.refetch()}
    />
  );
}
