// Passkeys: the browser's part of the forms marked `data-passkey`. Nothing else needs this file.

const bytes = (text) =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (one) => one.charCodeAt(0));

const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replaceAll("+", "-")
    .replaceAll("/", "_")
    .replace(/=+$/, "");

/** The server's options with their bytes as bytes. */
function decode({ publicKey }) {
  const named = (list) => list?.map((one) => ({ ...one, id: bytes(one.id) }));
  return {
    ...publicKey,
    challenge: bytes(publicKey.challenge),
    ...(publicKey.user && { user: { ...publicKey.user, id: bytes(publicKey.user.id) } }),
    ...(publicKey.excludeCredentials && { excludeCredentials: named(publicKey.excludeCredentials) }),
    ...(publicKey.allowCredentials && { allowCredentials: named(publicKey.allowCredentials) }),
  };
}

/** A credential as JSON, bytes as base64url. */
function encode(credential) {
  const response = {};
  for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
    if (credential.response[name]) response[name] = text(credential.response[name]);
  }
  return JSON.stringify({
    id: credential.id,
    rawId: text(credential.rawId),
    type: credential.type,
    authenticatorAttachment: credential.authenticatorAttachment,
    response,
    clientExtensionResults: credential.getClientExtensionResults(),
  });
}

async function fetchOptions(url) {
  const answer = await fetch(url, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(String(answer.status));
  return (await answer.json()).request_options;
}

async function perform(form) {
  const given = document.getElementById("passkey-options");
  const options = decode(given ? JSON.parse(given.textContent) : await fetchOptions(form.action));
  if (form.dataset.passkey !== "create") return navigator.credentials.get({ publicKey: options });
  // One that signs in by itself: it is kept on the device and verifies its owner.
  options.authenticatorSelection = {
    ...options.authenticatorSelection,
    residentKey: "required",
    requireResidentKey: true,
    userVerification: "required",
  };
  return navigator.credentials.create({ publicKey: options });
}

function tell(form, error) {
  const kinds = { NotAllowedError: "refused", InvalidStateError: "known", SecurityError: "insecure" };
  const box = form.querySelector("[data-passkey-trouble]");
  box.querySelector("span").textContent = box.dataset[kinds[error.name] ?? "other"];
  box.hidden = false;
}

for (const form of document.querySelectorAll("form[data-passkey]")) {
  const button = form.querySelector("[data-passkey-button]");
  if (button) button.hidden = !window.PublicKeyCredential;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    form.querySelector("[data-passkey-trouble]").hidden = true;
    try {
      if (!window.PublicKeyCredential) throw new DOMException("", "SecurityError");
      const credential = await perform(form);
      form.elements.credential.value = encode(credential);
      form.submit();
    } catch (error) {
      tell(form, error);
    }
  });
}
