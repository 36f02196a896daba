// Messages between this frame and Streamlit's page (protocol of Streamlit's components, version 1).

function send(type, content) {
  window.parent.postMessage({ isStreamlitMessage: true, type, ...content }, "*");
}

// Call `onRender(arguments, theme)` each time the page draws the component.
export function connect(onRender) {
  window.addEventListener("message", (event) => {
    if (event.source === window.parent && event.data.type === "streamlit:render") {
      onRender(event.data.args, event.data.theme);
    }
  });
  send("streamlit:componentReady", { apiVersion: 1 });
}

export function setHeight(height) {
  send("streamlit:setFrameHeight", { height });
}

// Report a value to the page, which then runs again.
export function report(value) {
  send("streamlit:setComponentValue", { value, dataType: "json" });
}
