import { useEffect } from "react";
import { Link } from "@tanstack/react-router";
import { Empty } from "@/components/empty.tsx";
import { Button } from "@/components/ui/button.tsx";

export function NotFound() {
  useEffect(() => {
    document.title = "No such page · Toolbox";
  }, []);
  return (
    <main className="mx-auto max-w-xl p-6">
      <h1 className="sr-only">No such page</h1>
      <Empty
        title="There is no such page"
        action={
          <Button asChild>
            <Link to="/">To your toolboxes</Link>
          </Button>
        }
      >
        The address may be mistyped, or the page may have moved.
      </Empty>
    </main>
  );
}
