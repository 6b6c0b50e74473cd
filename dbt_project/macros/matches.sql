{# Whether a text holds a match of a regular expression; `^` and `$` anchor it. #}
{% macro matches(expression, pattern) -%}
    {{ return(adapter.dispatch('matches')(expression, pattern)) }}
{%- endmacro %}

{% macro default__matches(expression, pattern) -%}
    regexp_like({{ expression }}, {{ dbt.string_literal(pattern) }})
{%- endmacro %}

{% macro duckdb__matches(expression, pattern) -%}
    regexp_matches({{ expression }}, {{ dbt.string_literal(pattern) }})
{%- endmacro %}
