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

export function SignInPage() {
  const { next } = useSearch({ from: "/sign-in" });
  const { session, ended } = useSession();
  const navigate = useNavigate();
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");
  const signIn = useMutation({
    mutationFn: async () => {
      const { error } = await api().auth.signInWithPassword({ email, password });
      if (error !== null) throw error;
    },
  });
  useEffect(() => {
    if (session !== null) void navigate({ to: next ?? "/toolboxes", replace: true });
  }, [session, next, navigate]);

  return (
    <AccountPage title="Sign in">
      {ended && (
        <p role="status" className="rounded-md border border-warn/40 bg-warn-soft p-3 text-[13px]">
          Your session has ended: you signed out elsewhere, or were away too long. Sign in to go on where you were.
        </p>
      )}
      <form
        className="grid gap-4"
        onSubmit={(event) => {
          event.preventDefault();
          signIn.mutate();
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
        <Field label="Password">
          {(tied) => (
            <Input
              {...tied}
              type="password"
              autoComplete="current-password"
              required
              value={password}
              onChange={(event) => setPassword(event.target.value)}
            />
          )}
        </Field>
        {signIn.isError && <ErrorPanel error={signIn.error} />}
        <Button type="submit" variant="primary" size="lg" busy={signIn.isPending && "Signing in…"}>Sign in</Button>
      </form>
      <Providers next={next} />
      <p className="flex justify-between text-[13px]">
        <Link to="/sign-up" search={{ next }} className="text-accent underline underline-offset-4">
          Create an account
        </Link>
        <Link to="/reset-password" className="text-accent underline underline-offset-4">Reset your password</Link>
      </p>
    </AccountPage>
  );
}

/** The other ways in that the project's sign-in names. */
function Providers({ next }: { next: string | undefined }) {
  const { data } = useQuery(signInSettingsQuery());
  const signIn = useMutation({
    mutationFn: async (provider: string) => {
      const { error } = await api().auth.signInWithOAuth({
        provider: provider as "github",
        options: { redirectTo: signInUrl(next) },
      });
      if (error !== null) throw error;
    },
  });
  if (data === undefined || data.providers.length === 0) return null;
  return (
    <div className="grid gap-2">
      {data.providers.map((provider) => (
        <Button key={provider} size="lg" onClick={() => signIn.mutate(provider)}>
          Continue with <span className="capitalize">{provider}</span>
        </Button>
      ))}
      {signIn.isError && <ErrorPanel error={signIn.error} />}
    </div>
  );
}
