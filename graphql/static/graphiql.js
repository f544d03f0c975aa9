"use strict";

{
  // GraphiQL's dialogs add a style element, and take the nonce that the page's policy asks of it from this global.
  globalThis.__webpack_nonce__ = document.currentScript.nonce;

  const endpoint = new URL(location.pathname, location.href);
  const socket = new URL(endpoint);
  socket.protocol = endpoint.protocol === "https:" ? "wss:" : "ws:";

  // A browser cannot set headers on a WebSocket: the token travels in the payload of connection_init.
  let authorization;
  const wsClient = graphqlWs.createClient({
    url: socket.href,
    connectionParams: () => (authorization ? { authorization } : {}),
  });
  const overHttpOrSocket = GraphiQL.createFetcher({ url: endpoint.href, wsClient });

  const fetcher = (operation, options) => {
    const header = Object.entries(options?.headers ?? {}).find(([name]) => name.toLowerCase() === "authorization");
    authorization = header?.[1];
    return overHttpOrSocket(operation, options);
  };

  const page = document.getElementById("graphiql");
  const query = document.getElementById("first-query").content.textContent.trim() + "\n";
  const headers = JSON.stringify({ Authorization: "Bearer " }, null, 2);
  const variables = JSON.stringify({ email: "", password: "", leadId: "", callId: "" }, null, 2);
  ReactDOM.createRoot(page).render(
    React.createElement(GraphiQL, {
      fetcher,
      defaultTabs: [{ query, headers, variables }],
      defaultQuery: query,
      defaultHeaders: headers,
      defaultEditorToolsVisibility: "headers",
      shouldPersistHeaders: true,
    }),
  );
}
