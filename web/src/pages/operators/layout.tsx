import { Link, Outlet } from "@tanstack/react-router";
import { isOperator } from "@/app/nav.ts";
import { useSession } from "@/app/session.ts";
import { Empty } from "@/components/empty.tsx";
import { Page } from "@/components/page.tsx";
import { TAB, Tabs } from "@/components/tabs.tsx";
import { Button } from "@/components/ui/button.tsx";

const TABS = [
  { to: "/operators", label: "Fleet" },
  { to: "/operators/catalog", label: "Catalog" },
  { to: "/operators/quotas", label: "Quotas" },
] as const;

export function OperatorsPage() {
  const { session } = useSession();
  if (!isOperator(session)) return <OnlyOperators email={session?.user.email} />;
  return (
    <Page title="Operators">
      <Tabs label="Parts of what operators do">
        {TABS.map(({ to, label }) => (
          <Link key={to} to={to} activeOptions={{ exact: to === "/operators", includeSearch: false }} {...TAB}>
            {label}
          </Link>
        ))}
      </Tabs>
      <Outlet />
    </Page>
  );
}

function OnlyOperators({ email }: { email: string | undefined }) {
  return (
    <Page title="Operators">
      <Empty
        title="Only operators see this page"
        action={
          <Button asChild>
            <Link to="/toolboxes">To your toolboxes</Link>
          </Button>
        }
      >
        You are signed in{email ? ` as ${email}` : ""}, and the project does not say that you are an operator. Who has
        just been made one signs in again.
      </Empty>
    </Page>
  );
}
