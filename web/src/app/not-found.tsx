import { Link } from "@tanstack/react-router";
import { Empty } from "@/components/empty.tsx";
import { Button } from "@/components/ui/button.tsx";

export function NotFound() {
  return (
    <main className="mx-auto max-w-xl p-6">
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
