"""Who may call: users, organizations, memberships, projects and API keys."""

from typing import Any, ClassVar

from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

# Django looks for the app's tables here.
from accounts.webhooks import models as webhook_models  # noqa: F401


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        user = self.model(email=self.normalize_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str, **fields: Any) -> "User":
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email__iexact=username)


class User(AbstractBaseUser, PermissionsMixin):
    """A person who signs in with an email address."""

    email = models.EmailField(unique=True)
    name = models.CharField(max_length=150, blank=True)
    is_staff = models.BooleanField(default=False)
    is_active = models.BooleanField(default=True)
    date_joined = models.DateTimeField(default=timezone.now)
    # Of pages and mails, as last chosen; empty until then.
    language = models.CharField(max_length=10, blank=True, default="", db_default="")

    objects = UserManager()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(Lower("email"), name="user_email_case_insensitive")
        ]

    def __str__(self) -> str:
        return self.email


class Organization(models.Model):
    """The tenant: owns a wallet, a plan, members and projects."""

    name = models.CharField(max_length=100)
    slug = models.SlugField(max_length=60, unique=True)
    created_at = models.DateTimeField(default=timezone.now)
    # A suspended organization keeps its data and is refused at /v1 with 403.
    suspended_at = models.DateTimeField(null=True, blank=True)
    # A deleted one is suspended too, and nobody's; its money and usage stay on the books.
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)
    # An erased one is deleted too, and nothing says any more whose it was.
    erased_at = models.DateTimeField(null=True, blank=True, editable=False)
    members: "models.ManyToManyField[User, Membership]" = models.ManyToManyField(
        User, through="Membership", related_name="organizations"
    )

    def __str__(self) -> str:
        return self.name


class Role(models.TextChoices):
    OWNER = "owner", _("Owner")
    ADMIN = "admin", _("Admin")
    DEVELOPER = "developer", _("Developer")
    BILLING = "billing", _("Billing")
    VIEWER = "viewer", _("Viewer")


class Membership(models.Model):
    """A user's role inside one organization."""

    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="memberships"
    )
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=12, choices=Role, default=Role.DEVELOPER)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["organization", "user"], name="membership_once")
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.organization} as {self.role}"

    @property
    def may_manage_keys(self) -> bool:
        return self.role in {Role.OWNER, Role.ADMIN, Role.DEVELOPER}


class Invitation(models.Model):
    """An open invitation: the row goes when it is accepted or revoked. The token in the mail is
    nowhere but in the mail; here is its digest."""

    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="invitations"
    )
    email = models.EmailField()
    role = models.CharField(max_length=12, choices=Role, default=Role.DEVELOPER)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    invited_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    sent_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint("organization", Lower("email"), name="invitation_once")
        ]

    def __str__(self) -> str:
        return f"{self.email} to {self.organization} as {self.role}"

    @property
    def is_expired(self) -> bool:
        return self.expires_at <= timezone.now()


class Project(models.Model):
    """A named slice of an organization; every API key belongs to one."""

    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="projects"
    )
    name = models.CharField(max_length=100)
    created_at = models.DateTimeField(default=timezone.now)
    # What all its keys together may spend in a UTC month; null means the balance alone.
    budget_month_nanos = models.BigIntegerField(null=True, blank=True)
    # An archived project has no live key and is offered nowhere; what it used stays.
    archived_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["organization", "name"], name="project_name_once")
        ]

    def __str__(self) -> str:
        return self.name


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def live(self) -> "ApiKeyQuerySet":
        """Keys that still open the door: neither revoked nor expired."""
        now = timezone.now()
        return self.filter(revoked_at=None).exclude(expires_at__lte=now)

    def closed(self) -> "ApiKeyQuerySet":
        """Keys that were revoked or have expired."""
        return self.filter(
            models.Q(revoked_at__isnull=False) | models.Q(expires_at__lte=timezone.now())
        )

    def lasting(self) -> "ApiKeyQuerySet":
        """Keys that people made to keep: not the playground's."""
        return self.filter(is_playground=False)


class ApiKey(models.Model):
    """A secret's digest and what it may do. The secret itself is shown once and never stored."""

    organization = models.ForeignKey(
        Organization, on_delete=models.CASCADE, related_name="api_keys", db_index=False
    )
    project = models.ForeignKey(Project, on_delete=models.PROTECT, related_name="api_keys")
    name = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, unique=True, editable=False)  # HMAC-SHA256, hex
    prefix = models.CharField(max_length=24, editable=False)
    last_four = models.CharField(max_length=4, editable=False)
    # Empty lists allow everything.
    allowed_models = ArrayField(models.CharField(max_length=100), default=list, blank=True)
    allowed_addresses = ArrayField(models.CharField(max_length=50), default=list, blank=True)
    # Optional limits below the plan's; null means the plan's alone.
    requests_per_minute = models.PositiveIntegerField(null=True, blank=True)
    tokens_per_minute = models.PositiveIntegerField(null=True, blank=True)
    spend_cap_day_nanos = models.BigIntegerField(null=True, blank=True)
    spend_cap_month_nanos = models.BigIntegerField(null=True, blank=True)
    created_by = models.ForeignKey(
        User, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    # A member's key to the playground (see accounts.playground): a row that lives many times.
    is_playground = models.BooleanField(default=False, db_default=False, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)
    # The key this one replaces: a key has one successor at most.
    rotated_from = models.OneToOneField(
        "self",
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        editable=False,
        related_name="rotated_to",
    )

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        ordering: ClassVar = ["-created_at", "-id"]
        indexes: ClassVar = [
            # What an operator is told of a key by the person who holds it.
            models.Index(fields=["last_four"], name="key_last_four"),
            models.Index(fields=["prefix"], name="key_prefix"),
            models.Index(fields=["organization", "-id"], name="key_by_organization"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(
                name="playground_key_once",
                fields=["created_by", "project"],
                condition=models.Q(is_playground=True),
            )
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.masked})"

    @property
    def masked(self) -> str:
        return f"{self.prefix}…{self.last_four}"

    @property
    def has_limits(self) -> bool:
        """Whether it may do less than the organization's plan allows."""
        caps = (self.spend_cap_day_nanos, self.spend_cap_month_nanos)
        rates = (self.requests_per_minute, self.tokens_per_minute)
        lists = self.allowed_models or self.allowed_addresses
        return bool(lists) or any(one is not None for one in (*caps, *rates))

    @property
    def is_live(self) -> bool:
        return self.revoked_at is None and (
            self.expires_at is None or self.expires_at > timezone.now()
        )


class OutgoingMail(models.Model):
    """A mail that the mail server has not taken yet. See `accounts.mail`."""

    recipient = models.EmailField()
    subject = models.CharField(max_length=200)
    text = models.TextField()
    html = models.TextField()
    created_at = models.DateTimeField(default=timezone.now)
    due_at = models.DateTimeField(default=timezone.now, db_index=True)
    tries = models.PositiveSmallIntegerField(default=0)

    def __str__(self) -> str:
        return f"{self.subject} to {self.recipient}"


class SeenDevice(models.Model):
    """A browser and a network that somebody has signed in from."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="devices")
    browser = models.CharField(max_length=60)
    network = models.CharField(max_length=50)
    seen_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "browser", "network"], name="device_once")
        ]

    def __str__(self) -> str:
        return f"{self.browser} from {self.network}"


class AuditEntry(models.Model):
    """One thing somebody changed, chained to the one before it. Only `accounts.audit` writes it.

    A chain is an organization's entries in order of `sequence`; those that belong to none are a
    chain too. Whoever acted is kept as text, for people and organizations that are gone one day.
    A database trigger refuses any change of a row but one: taking somebody's data out of it, with
    a seal over what is left (see `accounts.erasure`).
    """

    organization = models.ForeignKey(
        Organization, on_delete=models.PROTECT, null=True, related_name="audit_entries"
    )
    sequence = models.BigIntegerField()  # from 1, without a gap
    actor_id = models.BigIntegerField(null=True)
    actor_email = models.CharField(max_length=254, blank=True)
    address = models.CharField(max_length=45, blank=True)  # the IP address it came from
    is_operator = models.BooleanField(default=False)
    action = models.CharField(max_length=40)  # one of `audit.ACTIONS`
    target = models.CharField(max_length=200, blank=True)
    details = models.JSONField(default=dict)
    created_at = models.DateTimeField()
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)
    # Over what is left of an entry that somebody's data was taken out of; empty for all others.
    erasure_hash = models.CharField(max_length=64, blank=True, default="", db_default="")

    class Meta:
        verbose_name_plural = "audit entries"
        constraints: ClassVar = [
            models.UniqueConstraint(
                name="audit_sequence_once",
                fields=["organization", "sequence"],
                nulls_distinct=False,
            )
        ]
        indexes: ClassVar = [
            models.Index(name="audit_by_action", fields=["organization", "action", "-sequence"]),
            # Of all organizations, for operators.
            models.Index(name="audit_all_by_action", fields=["action", "-id"]),
            models.Index(name="audit_all_by_actor", fields=["actor_email", "-id"]),
            models.Index(
                name="audit_by_actor", fields=["organization", "actor_email", "-sequence"]
            ),
        ]

    def __str__(self) -> str:
        return f"{self.sequence} {self.action} {self.target}"


class AuditHead(models.Model):
    """Where a chain ends: so that taking its last entries away shows too, and so that two entries
    never follow the same one. It is sealed, so that nobody moves the end to an earlier entry."""

    chain = models.BigIntegerField(primary_key=True)  # the organization's id, 0 for none
    sequence = models.BigIntegerField(default=0)
    hash = models.CharField(max_length=64, blank=True)
    seal = models.CharField(max_length=64, blank=True, default="", db_default="")

    def __str__(self) -> str:
        return f"{self.chain}: {self.sequence}"
