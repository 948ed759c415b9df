"""What tickets, deals and meetings are about, for the company generator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Area:
    """One product area: ticket subjects with what happened, and the tags agents give them.

    `{thing}` is filled from `things`.
    """

    name: str
    subjects: tuple[tuple[str, str], ...]
    things: tuple[str, ...]
    tags: tuple[str, ...]


AREAS: tuple[Area, ...] = (
    Area(
        "Billing",
        (
            ("Charged twice for {thing}", "We see two charges for {thing} on the last statement."),
            ("Invoice does not match {thing}", "The invoice total differs from {thing}."),
            ("Please change billing contact for {thing}", "Our finance team moved; see {thing}."),
            ("VAT number missing on {thing}", "Accounting cannot book {thing} without it."),
        ),
        ("the March renewal", "our annual plan", "the add-on seats", "PO 4500123", "the pilot"),
        ("billing", "invoice", "refund", "vat"),
    ),
    Area(
        "API",
        (
            ("429 responses on {thing}", "Since the last release {thing} is throttled."),
            ("{thing} returns an empty page", "The second page of {thing} comes back empty."),
            ("Webhook for {thing} arrives late", "Events for {thing} are delayed by minutes."),
            ("Breaking change in {thing}?", "A field disappeared from {thing} without notice."),
        ),
        ("the orders endpoint", "/v2/customers", "the export API", "bulk upsert", "search"),
        ("api", "integration", "rate_limit", "webhook"),
    ),
    Area(
        "Single sign-on",
        (
            ("Users locked out after {thing}", "Sign-in loops back to the start since {thing}."),
            (
                "SAML assertion rejected with {thing}",
                "The log says: rejected assertion, {thing}.",
            ),
            ("How do we rotate {thing}?", "Security asks us to rotate {thing} this quarter."),
        ),
        ("the certificate change", "Entra ID", "Okta", "the new domain", "SCIM provisioning"),
        ("sso", "saml", "security", "login"),
    ),
    Area(
        "Reporting",
        (
            ("Totals in {thing} are off", "The sum in {thing} does not match the raw export."),
            ("Cannot schedule {thing}", "The schedule button for {thing} is greyed out."),
            ("{thing} times out", "Opening {thing} for the whole year never finishes."),
            ("Zahlen in {thing} stimmen nicht", "Die Summe in {thing} weicht vom Export ab."),
        ),
        ("the revenue dashboard", "the QBR deck", "the churn report", "weekly usage", "exports"),
        ("reporting", "dashboard", "export"),
    ),
    Area(
        "Data import",
        (
            ("Import of {thing} stuck at 90 %", "The import of {thing} has not moved for hours."),
            ("Umlauts broken after importing {thing}", "'Müller' became 'MÃ¼ller' in {thing}."),
            ("Duplicates after importing {thing}", "Every row of {thing} appeared twice."),
            ("Import von {thing} schlägt fehl", "Seit gestern bricht der Import von {thing} ab."),
        ),
        ("the customer list", "12,000 contacts", "price books", "the legacy CSV", "SKU master"),
        ("import", "csv", "data_quality"),
    ),
    Area(
        "Performance",
        (
            ("{thing} is slow since Monday", "Our users wait ten seconds and more for {thing}."),
            ("Timeouts on {thing}", "About one call in five to {thing} times out."),
            ("{thing} freezes in Firefox", "The tab stops responding when {thing} opens."),
        ),
        ("the account page", "search", "the pipeline board", "bulk edit", "the mobile sync"),
        ("performance", "slow", "timeout"),
    ),
    Area(
        "Mobile app",
        (
            ("App crashes when opening {thing}", "Reproducible on two devices: {thing}."),
            ("Push notifications missing for {thing}", "Nobody in the field team gets {thing}."),
            ("Offline mode loses {thing}", "After a flight {thing} was gone."),
        ),
        ("a photo note", "the visit report", "route planning", "approvals", "signatures"),
        ("mobile", "ios", "android", "crash"),
    ),
    Area(
        "Permissions",
        (
            ("New hires cannot see {thing}", "Three new colleagues do not see {thing}."),
            ("Too many people can edit {thing}", "An audit found that everyone can edit {thing}."),
            ("Role for {thing}?", "Which role do we give a partner who needs {thing}?"),
        ),
        ("the EMEA accounts", "price approval", "the finance folder", "audit log", "contracts"),
        ("permissions", "roles", "audit"),
    ),
)

CLOSINGS: tuple[str, ...] = (
    "This blocks our month-end close.",
    "No rush, but we would like to know the cause.",
    "Screenshots are attached.",
    "Our executive sponsor is asking for an update.",
    "It worked until the last release.",
    "We can reproduce it in the test environment as well.",
    "Please call me if you need more details – I am in the office until 17:00.",
    "Vielen Dank und freundliche Grüße",
    "よろしくお願いいたします。",
    "Merci d'avance pour votre aide.",
    "Gracias por su ayuda.",
    "Thanks!",
)

PRODUCTS: tuple[str, ...] = (
    "Platform",
    "Analytics Suite",
    "Premium Support",
    "Field Service",
    "Data Hub",
    "Compliance Pack",
    "Mobile Seats",
    "Integration Pack",
)

NEXT_STEPS: Mapping[str, tuple[str, ...]] = {
    "prospecting": ("Find the budget holder", "Intro call with IT", "Send reference story"),
    "qualification": ("Run discovery workshop", "Confirm user count", "Map decision process"),
    "proposal": ("Send revised quote", "Walk CFO through pricing", "Await security review"),
    "negotiation": ("Redlines with legal", "Agree payment terms", "Signature by end of month"),
    "won": ("Hand over to onboarding", ""),
    "lost": ("Revisit next year", ""),
}

TITLES: tuple[str, ...] = (
    "Chief Financial Officer",
    "IT Director",
    "Head of Operations",
    "Procurement Lead",
    "System Administrator",
    "VP Customer Success",
    "Data Engineer",
    "Office Manager",
    "Leiter Einkauf",
    "Directrice financière",
)

MEETING_SUBJECTS: Mapping[str, tuple[str, ...]] = {
    "QBR": ("Quarterly business review with {account}", "QBR {account}"),
    "demo": ("Product demo for {account}", "{product} demo: {account}"),
    "call": ("Check-in call {account}", "Renewal call with {account}"),
    "onsite": ("On-site visit at {account}", "Workshop at {account}"),
}

MEMOS: tuple[str, ...] = (
    "Annual subscription",
    "Quarterly subscription",
    "Implementation services",
    "Additional seats",
    "Premium support",
    "Training days",
)
