import { Link, Outlet } from "@tanstack/react-router";
import { Page } from "@/components/page.tsx";
import { TAB, Tabs } from "@/components/tabs.tsx";

const TABS = [
  { to: "/settings", label: "Profile" },
  { to: "/settings/access", label: "Access tokens" },
  { to: "/settings/applications", label: "Applications" },
  { to: "/settings/alerts", label: "Alerts" },
] as const;

export function SettingsPage() {
  return (
    <Page title="Settings">
      <Tabs label="Parts of the settings">
        {TABS.map(({ to, label }) => (
          <Link key={to} to={to} activeOptions={{ exact: true, includeSearch: false }} {...TAB}>{label}</Link>
        ))}
      </Tabs>
      <Outlet />
    </Page>
  );
}
