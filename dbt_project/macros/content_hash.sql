{# MD5 of some columns together. Each text is led by its length and a null is a dash, so that no
   two different rows are written alike. #}
{% macro content_hash(columns) -%}
    {%- set parts = [] -%}
    {%- for column in columns -%}
        {%- set text = dbt.cast(column, dbt.type_string()) -%}
        {%- set length = dbt.cast(dbt.length(text), dbt.type_string()) -%}
        {%- do parts.append("coalesce(" ~ dbt.concat([length, "':'", text]) ~ ", '-')") -%}
    {%- endfor -%}
    {{ dbt.hash(dbt.concat(parts)) }}
{%- endmacro %}
