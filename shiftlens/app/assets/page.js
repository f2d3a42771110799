window.dash_clientside = window.dash_clientside || {};
window.dash_clientside.shiftlens = {
  png: function (clicks, id) {
    const graph = document.querySelector("#" + id + " .js-plotly-plot");
    if (clicks && graph) {
      window.Plotly.downloadImage(graph, {
        format: "png",
        scale: 2,
        width: graph.clientWidth,
        height: graph.clientHeight,
        filename: "shiftlens_" + id,
      });
    }
    return window.dash_clientside.no_update;
  },
  address: function (href, view, id) {
    if (href && id === view + "-link") {
      window.history.replaceState(null, "", href);
    }
    return window.dash_clientside.no_update;
  },
  turn: function (view) {
    const link = document.getElementById(view + "-link");
    const shown = new URLSearchParams(window.location.search).get("view");
    if (view !== shown && !(link && link.getAttribute("href"))) {
      window.history.replaceState(null, "", "?view=" + view);
    }
    return window.dash_clientside.no_update;
  },
};
