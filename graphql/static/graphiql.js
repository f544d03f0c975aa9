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

  // GraphiQL's own memory for headers is emptied by its second reload (graphiql 3.9), so the page keeps them itself,
  // under a name that GraphiQL's "Clear storage" clears too.
  const keptHeaders = "graphiql:kept-headers";
  const headers = localStorage.getItem(keptHeaders) ?? JSON.stringify({ Authorization: "Bearer " }, null, 2);

  // GraphiQL opens one more tab on a reload unless what it opens with first is in its storage.
  if (localStorage.getItem("graphiql:tabState") === null) {
    localStorage.setItem("graphiql:query", document.getElementById("first-query").content.textContent.trim());
    localStorage.setItem("graphiql:variables", JSON.stringify({ email: "", password: "" }, null, 2));
  }

  ReactDOM.createRoot(document.getElementById("graphiql")).render(
    React.createElement(GraphiQL, {
      fetcher,
      headers,
      defaultHeaders: headers,
      onEditHeaders: (text) => localStorage.setItem(keptHeaders, text),
      defaultEditorToolsVisibility: "headers",
      shouldPersistHeaders: true,
      showPersistHeadersSettings: false,
    }),
  );
}
