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
};
