"""Routes of the data path. Resolved by gateway.handler, not by the site's ROOT_URLCONF."""

from django.urls import path, re_path

from gateway import views

urlpatterns = [
    path("v1/chat/completions", views.ChatCompletions.as_view()),
    path("v1/models", views.Models.as_view()),
    path("v1/models/<path:name>", views.ModelDetail.as_view()),
    re_path(r"^v1(?:/|$)", views.Unknown.as_view()),
]
