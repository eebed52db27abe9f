import { useMutation } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { useState } from "react";
import { toast } from "sonner";
import { api } from "@/api/client.ts";
import { useSession } from "@/app/session.ts";
import { AccountPage } from "@/components/account-page.tsx";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { Button } from "@/components/ui/button.tsx";
import { Field, Input } from "@/components/ui/field.tsx";

/** Where the link in a mail leads: it signed one in, and now a new password is chosen. */
export function NewPasswordPage() {
  const { session } = useSession();
  const navigate = useNavigate();
  const [password, setPassword] = useState("");
  const change = useMutation({
    mutationFn: async () => {
      const { error } = await api().auth.updateUser({ password });
      if (error !== null) throw error;
    },
    onSuccess: () => {
      toast("Your new password counts from now on");
      void navigate({ to: "/toolboxes", replace: true });
    },
  });
  if (session === null) {
    return (
      <AccountPage title="This link does not serve">
        <p className="text-[13px]">
          It was used before, is older than an hour, or was asked for in another browser.{" "}
          <Link to="/reset-password" className="text-accent underline underline-offset-4">Ask for a new one</Link>.
        </p>
      </AccountPage>
    );
  }
  return (
    <AccountPage title="Choose a new password">
      <form
        className="grid gap-4"
        onSubmit={(event) => {
          event.preventDefault();
          change.mutate();
        }}
      >
        <input type="email" autoComplete="username" value={session.user.email ?? ""} readOnly hidden />
        <Field label={`New password for ${session.user.email ?? "your account"}`} hint="At least 6 characters">
          {(tied) => (
            <Input
              {...tied}
              type="password"
              autoComplete="new-password"
              required
              minLength={6}
              value={password}
              onChange={(event) => setPassword(event.target.value)}
            />
          )}
        </Field>
        {change.isError && <ErrorPanel error={change.error} />}
        <Button type="submit" variant="primary" size="lg" busy={change.isPending && "Saving…"}>Save</Button>
      </form>
    </AccountPage>
  );
}
