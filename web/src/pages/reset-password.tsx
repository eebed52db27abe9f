import { useMutation } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { useState } from "react";
import { api } from "@/api/client.ts";
import { AccountPage } from "@/components/account-page.tsx";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { Button } from "@/components/ui/button.tsx";
import { Field, Input } from "@/components/ui/field.tsx";

export function ResetPasswordPage() {
  const [email, setEmail] = useState("");
  const ask = useMutation({
    mutationFn: async () => {
      const { error } = await api().auth.resetPasswordForEmail(email, {
        redirectTo: `${location.origin}/new-password`,
      });
      if (error !== null) throw error;
    },
  });
  return (
    <AccountPage title="Reset your password">
      {ask.isSuccess
        ? (
          <p role="status" className="text-[13px]">
            If there is an account for{" "}
            {email}, a mail with a link is on its way. Open the link in this browser: it is good once, for an hour.
          </p>
        )
        : (
          <form
            className="grid gap-4"
            onSubmit={(event) => {
              event.preventDefault();
              ask.mutate();
            }}
          >
            <Field label="Email" hint="We send a link by which you choose a new password">
              {(tied) => (
                <Input
                  {...tied}
                  type="email"
                  autoComplete="username"
                  required
                  value={email}
                  onChange={(event) => setEmail(event.target.value)}
                />
              )}
            </Field>
            {ask.isError && <ErrorPanel error={ask.error} />}
            <Button type="submit" variant="primary" size="lg" busy={ask.isPending && "Sending…"}>Send the link</Button>
          </form>
        )}
      <p className="text-[13px]">
        <Link to="/sign-in" className="text-accent underline underline-offset-4">Back to sign in</Link>
      </p>
    </AccountPage>
  );
}
