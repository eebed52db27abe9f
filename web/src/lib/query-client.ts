import { type Query, QueryCache, QueryClient } from "@tanstack/react-query";

const failures = new WeakMap<object, number>();

/** How often a question has failed since it was last answered. */
export function failuresOf(query: object): number {
  return failures.get(query) ?? 0;
}

const begun = new WeakMap<object, number>();

/** When the question that is under way was asked, in milliseconds of this browser's clock. */
export function askedAt(query: object): number | null {
  return begun.get(query) ?? null;
}

export const queryClient = new QueryClient({
  queryCache: new QueryCache({
    onError: (_error, query: Query<unknown, unknown, unknown>) => failures.set(query, failuresOf(query) + 1),
    onSuccess: (_data, query: Query<unknown, unknown, unknown>) => failures.delete(query),
  }),
  defaultOptions: {
    // Polling asks again by itself, and says meanwhile what failed.
    queries: { retry: false, staleTime: 1_000, gcTime: 10 * 60_000, networkMode: "always" },
    mutations: { retry: false, networkMode: "always" },
  },
});

queryClient.getQueryCache().subscribe((event) => {
  if (event.type === "updated" && event.action.type === "fetch") begun.set(event.query, Date.now());
});
