import { useMutation } from "@tanstack/react-query";
import { useState } from "react";
import { toast } from "sonner";
import { api } from "@/api/client.ts";
import { toApiError } from "@/api/error.ts";
import { useSession } from "@/app/session.ts";
import { Age } from "@/components/age.tsx";
import { Copy } from "@/components/copy.tsx";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { Quota } from "@/components/quota.tsx";
import { Button } from "@/components/ui/button.tsx";
import { Card, Facts, Section } from "@/components/ui/card.tsx";
import { Field, Input } from "@/components/ui/field.tsx";
import { fromServer } from "@/lib/server-time.ts";

const ZONE = new Intl.DateTimeFormat().resolvedOptions().timeZone;

export function ProfileTab() {
  const { session } = useSession();
  if (session === null) return null;
  const { user } = session;
  return (
    <div className="grid max-w-2xl gap-6">
      <Section title="Your account">
        <Card className="p-4">
          <Facts
            items={[
              ["Email", user.email ?? "none"],
              ["Id", <Copy key="id" text={user.id} label={user.id} what="your id" />],
              ["Signs in by", (user.app_metadata.providers as string[] | undefined)?.join(", ") ?? "password"],
              ["Since", <Age key="since" at={fromServer(user.created_at)} />],
              ["Times are of", ZONE],
            ]}
          />
          <p className="mt-3 text-xs text-ink-3">
            Others need your id to share a server with you.
          </p>
        </Card>
      </Section>
      <Section title="What you may have">
        <Card className="p-4">
          <Quota />
        </Card>
      </Section>
      <Password />
      <Everywhere />
    </div>
  );
}

function Password() {
  const [password, setPassword] = useState("");
  const change = useMutation({
    mutationFn: async () => {
      const { error } = await api().auth.updateUser({ password });
      if (error !== null) throw toApiError(error);
    },
    gcTime: 0,
    onSuccess: () => {
      setPassword("");
      toast("The password was changed");
    },
  });
  return (
    <Section title="Password">
      <form
        className="grid gap-3"
        onSubmit={(event) => {
          event.preventDefault();
          if (!change.isPending) change.mutate();
        }}
      >
        <div className="max-w-sm">
          <Field label="New password" hint="At least eight characters">
            {(tied) => (
              <Input
                {...tied}
                type="password"
                required
                minLength={8}
                autoComplete="new-password"
                value={password}
                onChange={(event) => setPassword(event.target.value)}
              />
            )}
          </Field>
        </div>
        {change.isError && <ErrorPanel error={change.error} title="The password was not changed" />}
        <div>
          <Button type="submit" busy={change.isPending && "Changing it…"}>Change password</Button>
        </div>
      </form>
    </Section>
  );
}

function Everywhere() {
  const leave = useMutation({
    mutationFn: async () => {
      const { error } = await api().auth.signOut({ scope: "others" });
      if (error !== null) throw toApiError(error);
    },
    onSuccess: () => toast("Other browsers were signed out"),
  });
  return (
    <Section title="Other browsers">
      <p className="text-[13px] text-ink-2">
        Ends your sessions everywhere but here. Access tokens of MCP servers are not sessions: revoke them by
        themselves.
      </p>
      {leave.isError && <ErrorPanel error={leave.error} title="They were not signed out" />}
      <div>
        <Button busy={leave.isPending && "Signing out…"} onClick={() => leave.mutate()}>Sign out other browsers</Button>
      </div>
    </Section>
  );
}
