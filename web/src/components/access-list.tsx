import { useMutation, useQueryClient } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { type Access, revokeAccess } from "@/api/access.ts";
import { Age, moment } from "@/components/age.tsx";
import { Confirm } from "@/components/confirm.tsx";
import { Button } from "@/components/ui/button.tsx";
import { Card } from "@/components/ui/card.tsx";
import { clientName } from "@/lib/hosts.ts";
import { fromServer } from "@/lib/server-time.ts";
import { useNow } from "@/lib/use-now.ts";

interface Props {
  list: Access[];
  /** To what each opens a way, by its id. */
  where: ReadonlyMap<string, ReactNode>;
}

/** Who may use MCP servers: how it is limited, when and by which client it was used, and its end. */
export function AccessList({ list, where }: Props) {
  const [ending, setEnding] = useState<Access | null>(null);
  const client = useQueryClient();
  const now = useNow();
  const revoke = useMutation({
    mutationFn: revokeAccess,
    onSuccess: () => setEnding(null),
    onSettled: () => client.invalidateQueries({ predicate: ({ queryKey }) => queryKey.includes("access") }),
  });
  return (
    <>
      <Card>
        <ul className="divide-y divide-line">
          {list.map((access) => {
            const end = fromServer(access.expires_at ?? null);
            const over = access.revoked_at ? "revoked" : end !== null && end <= now ? "ended" : null;
            return (
              <li
                key={access.id}
                className="grid items-center gap-x-4 gap-y-1 px-3 py-2.5 text-[13px] md:grid-cols-[minmax(0,1.2fr)_minmax(0,1fr)_minmax(0,1.2fr)_auto]"
              >
                <span className="min-w-0">
                  <span className={over ? "text-ink-3 line-through" : "font-medium"}>
                    <span className="break-words">{access.name}</span>
                  </span>
                  <span className="block text-xs text-ink-3">
                    {access.client_id ? "an application" : access.user_id ? "a user" : "a token"}, for{" "}
                    {where.get(access.id)}
                  </span>
                </span>
                <span className="min-w-0 text-xs break-words text-ink-2">
                  {access.allowed_tools ? `only ${access.allowed_tools.join(", ") || "no tool"}` : "all tools"}
                  {access.read_only && ", read-only ones"}
                  {access.requests_per_minute != null && `, ${access.requests_per_minute} requests a minute`}
                  {access.concurrent_requests != null && `, ${access.concurrent_requests} at once`}
                  {over === null && end !== null && `, until ${moment(end)}`}
                </span>
                <span className="min-w-0 text-xs break-words text-ink-2">
                  {over !== null ? over : access.last_used_at
                    ? (
                      <>
                        used <Age at={fromServer(access.last_used_at)} />
                        {access.last_client && ` by ${clientName(access.last_client)}`}
                      </>
                    )
                    : "never used"}
                </span>
                <span className="md:justify-self-end">
                  {over === null && (
                    <Button
                      size="sm"
                      variant="danger"
                      onClick={() => {
                        revoke.reset();
                        setEnding(access);
                      }}
                    >
                      Revoke <span className="sr-only">{access.name}</span>
                    </Button>
                  )}
                </span>
              </li>
            );
          })}
        </ul>
      </Card>
      <Confirm
        open={ending !== null}
        onOpenChange={(open) => !open && setEnding(null)}
        title="Revoke this access"
        name={ending?.name ?? ""}
        action="Revoke"
        busy={revoke.isPending}
        error={revoke.error}
        onConfirm={() => ending && revoke.mutate(ending)}
      >
        Whoever uses “{ending?.name}” is refused from the next request on. It cannot be given back; make another one
        instead.
      </Confirm>
    </>
  );
}
