// Where the service is, seen from this page: it may stand under a path of another server.
const here = new URL(".", document.baseURI).href;

SwaggerUIBundle({
  url: `${here}openapi.json`,
  dom_id: "#api",
  deepLinking: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  plugins: [
    {
      statePlugins: {
        spec: {
          wrapActions: {
            // The document says nothing of servers; "/" would be assumed.
            updateJsonSpec: (update) => (spec) => update({ servers: [{ url: here }], ...spec }),
          },
        },
      },
    },
  ],
});
