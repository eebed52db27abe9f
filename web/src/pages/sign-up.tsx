import { useMutation, useQuery } from "@tanstack/react-query";
import { Link, useNavigate, useSearch } from "@tanstack/react-router";
import { useEffect, useState } from "react";
import { api } from "@/api/client.ts";
import { signInSettingsQuery, signInUrl } from "@/api/sign-in.ts";
import { useSession } from "@/app/session.ts";
import { AccountPage } from "@/components/account-page.tsx";
import { ErrorPanel } from "@/components/error-panel.tsx";
import { Button } from "@/components/ui/button.tsx";
import { Field, Input } from "@/components/ui/field.tsx";

export function SignUpPage() {
  const { next } = useSearch({ from: "/sign-up" });
  const { session } = useSession();
  const navigate = useNavigate();
  const settings = useQuery(signInSettingsQuery());
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const signUp = useMutation({
    mutationFn: async () => {
      const { data, error } = await api().auth.signUp({
        email,
        password,
        options: { emailRedirectTo: signInUrl(next) },
      });
      if (error !== null) throw error;
      return data.session === null;
    },
  });
  useEffect(() => {
    if (session !== null) void navigate({ to: next ?? "/toolboxes", replace: true });
  }, [session, next, navigate]);

  if (signUp.data === true) {
    return (
      <AccountPage title="One more step">
        <p className="text-[13px]">A mail is on its way to {email}. Open the link in it to confirm your address.</p>
      </AccountPage>
    );
  }
  return (
    <AccountPage title="Create an account">
      {settings.data?.maySignUp === false && (
        <p role="status" className="rounded-md border border-warn/40 bg-warn-soft p-3 text-[13px]">
          This project lets nobody sign up by themselves. Ask the operator for an account.
        </p>
      )}
      <form
        className="grid gap-4"
        onSubmit={(event) => {
          event.preventDefault();
          signUp.mutate();
        }}
      >
        <Field label="Email">
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
        <Field label="Password" hint="At least 6 characters; a passphrase is better">
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
        {signUp.isError && <ErrorPanel error={signUp.error} />}
        <Button type="submit" variant="primary" size="lg" busy={signUp.isPending && "Creating your account…"}>
          Create account
        </Button>
      </form>
      <p className="text-[13px]">
        You have one?{" "}
        <Link to="/sign-in" search={{ next }} className="text-accent underline underline-offset-4">Sign in</Link>
      </p>
    </AccountPage>
  );
}
